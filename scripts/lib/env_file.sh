# shellcheck shell=bash
# Read and fill .env. A value that somebody set is never changed here, but by env_replace.

ENV_FILE=${ENV_FILE:-.env}

# The value of a name in .env; nothing where it is missing or empty.
env_get() {
  [[ -f $ENV_FILE ]] || return 0
  sed -n "s/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}$1=//p" "$ENV_FILE" | tail -n 1 | sed "s/^[\"']\(.*\)[\"']\$/\1/"
}

# Make .env where it is missing; only its owner may read it.
env_create() {
  if [[ ! -f $ENV_FILE ]]; then
    (umask 077 && printf '# Settings of this machine; .env.example says what each is. Never commit this file.\n' >"$ENV_FILE")
  fi
  chmod 600 "$ENV_FILE"
}

# Set a name that has no value yet, here or in the environment.
env_default() {
  [[ -n $(env_get "$1") || -n ${!1:-} ]] || env_replace "$1" "$2"
}

# Set a name, whatever it was; only what was generated or what a person asked for goes through here.
env_replace() {
  local rest
  rest=$(grep -v "^$1=" "$ENV_FILE" || true)
  (umask 077 && printf '%s\n%s=%s\n' "$rest" "$1" "$2" >"$ENV_FILE.new")
  mv "$ENV_FILE.new" "$ENV_FILE"
}

# A secret of 32 letters and digits.
new_secret() {
  # head ends the pipe early, which is no failure.
  { LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom || true; } 2>/dev/null | head -c 32
}
