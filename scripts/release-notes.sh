#!/usr/bin/env bash
# Print the section of one version from CHANGELOG.md, for a tag or a release page.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh

CHANGELOG=${CHANGELOG:-CHANGELOG.md}

usage() {
  cat <<'TEXT'
usage: scripts/release-notes.sh [VERSION]

Prints the section of a version from CHANGELOG.md, without its heading. The default is the newest
version; `Unreleased` prints what no version contains yet. Exits with 1 if there is no such section
or if it is empty.
TEXT
}

newest_version() {
  sed -n '/^## [0-9]/{s/^## \([^ ]*\).*/\1/p;q;}' "$CHANGELOG"
}

# The lines between a version's heading and the next one, without blank lines around them.
section() {
  awk -v version="$1" '
    /^## / { inside = ($2 == version); next }
    inside && NF { while (blank) { print ""; blank-- } started = 1; print; next }
    inside && started { blank++ }
  ' "$CHANGELOG"
}

main() {
  local version notes
  case ${1:-} in
    -h | --help)
      usage
      return
      ;;
    -*)
      usage >&2
      exit 2
      ;;
  esac
  [[ -f $CHANGELOG ]] || die "there is no $CHANGELOG"
  version=${1:-$(newest_version)}
  [[ -n $version ]] || die "$CHANGELOG has no version yet. Add a section: ## 1.0.0 — $(date +%Y-%m-%d)"
  notes=$(section "${version#v}")
  [[ -n $notes ]] || die "$CHANGELOG has nothing about $version. Its versions are: $(sed -n 's/^## \([^ ]*\).*/\1/p' "$CHANGELOG" | paste -sd ' ' -)"
  printf '%s\n' "$notes"
}

main "$@"
