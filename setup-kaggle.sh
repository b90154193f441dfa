#!/usr/bin/env bash
# Install Kaggle's client and check for credentials, for `make dataset`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh
# shellcheck source=scripts/lib/env_file.sh
source scripts/lib/env_file.sh

CLIENT_HOME=$(env_setting STACK_HOME)
CLIENT_HOME=${CLIENT_HOME:-.stack}/kaggle

usage() {
  cat <<'TEXT'
usage: ./setup-kaggle.sh

Installs Kaggle's client, pinned and hashed, into an environment of its own. If the machine has no
credentials for Kaggle, says how to get some. The script never reads or copies credentials.
TEXT
}

# Succeeds if Kaggle's client will find credentials: OAuth, a token, or a user name and a key.
has_credentials() {
  local folder=${KAGGLE_CONFIG_DIR:-$HOME/.kaggle} file
  [[ -n ${KAGGLE_API_TOKEN:-} || (-n ${KAGGLE_USERNAME:-} && -n ${KAGGLE_KEY:-}) ]] && return
  for file in "$folder/access_token" "$folder/kaggle.json" "$folder/credentials.json"; do
    [[ -s $file ]] && return
  done
  return 1
}

install_client() {
  local lock
  [[ -x .venv/bin/python ]] || die "the Python environment is missing; run make setup first"
  lock=$(cksum <scripts/kaggle.lock)
  [[ -x $CLIENT_HOME/bin/kaggle && $(cat "$CLIENT_HOME/.lock" 2>/dev/null) == "$lock" ]] && return
  log "installing Kaggle's client (once; takes some seconds)"
  .venv/bin/python -m venv --clear "$CLIENT_HOME"
  "$CLIENT_HOME/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes --no-deps -r scripts/kaggle.lock ||
    die "Kaggle's client could not be installed;" \
      "fix what pip reports above and run ./setup-kaggle.sh again"
  printf '%s' "$lock" >"$CLIENT_HOME/.lock"
}

main() {
  case ${1:-} in
    "") ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
  esac
  if ! has_credentials; then
    die "there are no credentials for Kaggle on this machine. The real file needs a free account:
  1. On Kaggle, under Settings, API: Generate New Token.
  2. Save the token to ~/.kaggle/access_token (chmod 600), or export KAGGLE_API_TOKEN=…
     An older ~/.kaggle/kaggle.json works, too.
  3. make dataset
Without an account, run make sample: it writes a synthetic file with the same counts."
  fi
  install_client
  log "Kaggle's client is ready. Next: make dataset"
}

main "$@"
