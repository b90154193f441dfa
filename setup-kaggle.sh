#!/usr/bin/env bash
# Make Kaggle's own client ready and look for credentials: what `make dataset` needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh

HOME_OF_CLIENT=${STACK_HOME:-.stack}/kaggle

usage() {
  cat <<'TEXT'
usage: ./setup-kaggle.sh

Installs Kaggle's client, pinned and hashed, into an environment of its own, and says what is
missing where there are no credentials for it. Credentials are never read or copied from here.
TEXT
}

# Where Kaggle's client looks: OAuth or a token, or the older pair of name and key.
has_credentials() {
  local folder=${KAGGLE_CONFIG_DIR:-$HOME/.kaggle} file
  [[ -n ${KAGGLE_API_TOKEN:-} || (-n ${KAGGLE_USERNAME:-} && -n ${KAGGLE_KEY:-}) ]] && return
  for file in "$folder/access_token" "$folder/kaggle.json" "$folder/credentials.json"; do
    [[ -s $file ]] && return
  done
  return 1
}

install_client() {
  local wanted
  [[ -x .venv/bin/python ]] || die "the Python environment is missing; run make setup first"
  wanted=$(cksum <scripts/kaggle.lock)
  [[ -x $HOME_OF_CLIENT/bin/kaggle && $(cat "$HOME_OF_CLIENT/.lock" 2>/dev/null) == "$wanted" ]] && return
  log "installing Kaggle's client (once, some seconds)"
  .venv/bin/python -m venv --clear "$HOME_OF_CLIENT"
  "$HOME_OF_CLIENT/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r scripts/kaggle.lock ||
    die "Kaggle's client could not be installed; mend what pip names above and run ./setup-kaggle.sh again"
  printf '%s' "$wanted" >"$HOME_OF_CLIENT/.lock"
}

main() {
  case ${1:-} in
    "") ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
  esac
  if ! has_credentials; then
    die "there are no credentials for Kaggle on this machine. The real file needs a (free) account:
  1. On Kaggle, under Settings, API: Generate New Token.
  2. Save the token to ~/.kaggle/access_token (chmod 600), or export KAGGLE_API_TOKEN=…
     A kaggle.json of an older kind is found, too: ~/.kaggle/kaggle.json
  3. make dataset
Without an account, make sample writes a synthetic file with the same counts."
  fi
  install_client
  log "Kaggle's client is ready. Next: make dataset"
}

main "$@"
