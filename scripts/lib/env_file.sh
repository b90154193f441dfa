# shellcheck shell=bash
# Read and write .env. Only env_replace changes a value that is set.

ENV_FILE=${ENV_FILE:-.env}

# Prints the value of a name in .env, or nothing if it is missing or empty. Reads the file as Python's
# dotenv does, also one from Windows, with CRLF and a byte order mark.
env_get() {
  local bom=$'\xef\xbb\xbf' name="[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}$1[[:space:]]*="
  [[ -f $ENV_FILE ]] || return 0
  LC_ALL=C sed -n -e "1s/^$bom//" -e 's/[[:space:]]*$//' -e "s/^${name}[[:space:]]*//p" \
    "$ENV_FILE" | tail -n 1 |
    LC_ALL=C sed -e "s/^\"\([^\"]*\)\"[[:space:]]*\(#.*\)\{0,1\}\$/\1/" -e t \
      -e "s/^'\([^']*\)'[[:space:]]*\(#.*\)\{0,1\}\$/\1/" -e t \
      -e "s/^\([\"']\)\(.*\)\1\$/\2/" -e t \
      -e 's/[[:space:]]\{1,\}#.*$//'
}

# Prints the value of a setting: that of the environment, else that of .env.
env_setting() {
  printf '%s\n' "${!1:-$(env_get "$1")}"
}

# Creates .env if it is missing. Only its owner may read it.
env_create() {
  if [[ ! -f $ENV_FILE ]]; then
    (umask 077 &&
      printf '# Settings of this machine; .env.example explains each. Never commit this file.\n' \
        >"$ENV_FILE")
  fi
  chmod 600 "$ENV_FILE"
}

# Sets a name that has no value in .env or in the environment.
env_default() {
  [[ -n $(env_setting "$1") ]] || env_replace "$1" "$2"
}

# Sets a name and replaces its old value. Only for generated values and on a person's request.
env_replace() {
  local rest
  rest=$(grep -v "^$1=" "$ENV_FILE" || true)
  (umask 077 && printf '%s\n%s=%s\n' "$rest" "$1" "$2" >"$ENV_FILE.new")
  mv "$ENV_FILE.new" "$ENV_FILE"
}

# Prints a secret of 32 letters and digits.
new_secret() {
  # head closes the pipe early, which makes tr fail. That is expected.
  { LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom || true; } 2>/dev/null | head -c 32
}
