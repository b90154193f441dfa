# shellcheck shell=bash
# Messages for people. Errors go to standard error and name the next action.

log() { printf '  %s\n' "$*"; }

title() {
  if [[ -t 1 ]]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}

warn() { printf 'warning: %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
