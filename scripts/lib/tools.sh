# shellcheck shell=bash
# The tools that the machine needs before any Python package, found or installed with its package
# manager, and the Python environment.

# Libraries and applications. Each is a distribution of its own, installed into .venv as editable.
PACKAGES=(libs/contracts libs/common libs/profiles libs/quality libs/telemetry libs/kafka libs/lake libs/search)
PACKAGES+=(ingestion processing dashboards monitoring experimentation governance)

# Prints the first suitable Python, preferring python3: 3.11 to 3.14, with venv and pip.
find_python() {
  local name
  for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null && "$name" - 2>/dev/null <<'PYTHON'; then
import sys, venv, ensurepip
sys.exit(not (3, 11) <= sys.version_info < (3, 15))
PYTHON
      command -v "$name"
      return
    fi
  done
  return 1
}

# Prints the missing tools, one a line: python, maven, java. A missing Go comes as a wheel later.
missing_tools() {
  local python
  if python=$(find_python); then
    # Ignore a missing Java for Elasticsearch: a wheel brings it.
    "$python" stack/jvm.py | sed -n 's/^spark$/java/p'
  else
    echo python
    [[ -n ${JAVA_HOME:-} ]] || command -v java >/dev/null || echo java
  fi
  command -v mvn >/dev/null || echo maven
}

# Prints the name for people of a tool that missing_tools prints.
tool_name() {
  case $1 in
    python) echo "Python 3.11 or newer with venv" ;;
    java) echo "a JDK, 17 to 25" ;;
    maven) echo "Maven" ;;
    chromium) echo "Chromium, for the tests of the page" ;;
  esac
}

# Prints the package of the newest JDK that Spark accepts and apt has.
apt_jdk() {
  local version
  for version in 25 21 17; do
    if apt-cache show "openjdk-$version-jdk-headless" >/dev/null 2>&1; then
      echo "openjdk-$version-jdk-headless"
      return
    fi
  done
  echo default-jdk-headless
}

# Prints the prefix of apt-get: nothing for root, sudo for users who may use it. Fails for others.
as_root() {
  if [[ $(id -u) == 0 ]]; then
    echo
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
    echo sudo
  else
    return 1
  fi
}

check_tools() {
  local tool missing
  missing=$(missing_tools)
  if [[ -z $missing ]]; then
    log "nothing is missing"
    return
  fi
  for tool in $missing; do log "missing: $(tool_name "$tool")"; done
  return 1
}

ensure_tools() {
  local missing
  missing=$(missing_tools)
  [[ -n $missing ]] || return 0
  # shellcheck disable=SC2086
  install_tools $missing
  missing=$(missing_tools)
  [[ -z $missing ]] ||
    die "still missing after the installation: $(join_names "$missing"). $(advice "$missing")"
}

install_tools() {
  local sudo packages=() tool
  log "missing: $(join_names "$*"); installing"
  if command -v apt-get >/dev/null && sudo=$(as_root); then
    $sudo apt-get update -qq || warn "apt-get update failed; using the existing package lists"
    for tool in "$@"; do
      case $tool in
        python) packages+=(python3 python3-venv) ;;
        java) packages+=("$(apt_jdk)") ;;
        maven) packages+=(maven) ;;
        chromium) packages+=(chromium fonts-dejavu-core) ;;
      esac
    done
    log "apt-get install ${packages[*]}"
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends \
      "${packages[@]}" >/dev/null ||
      die "apt-get could not install ${packages[*]}. $(advice "$*")"
  elif command -v brew >/dev/null; then
    for tool in "$@"; do
      case $tool in
        python) packages+=(python@3.12) ;;
        java) packages+=(openjdk@21) ;;
        maven) packages+=(maven) ;;
      esac
    done
    log "brew install ${packages[*]}"
    brew install --quiet "${packages[@]}" ||
      die "brew could not install ${packages[*]}. $(advice "$*")"
  else
    die "missing: $(join_names "$*"). $(advice "$*")"
  fi
}

join_names() {
  local tool names=""
  for tool in $1; do names+="${names:+, }$(tool_name "$tool")"; done
  echo "$names"
}

# Prints how a person installs the missing tools.
advice() {
  local tool names_in_apt=""
  for tool in $1; do
    case $tool in
      python) names_in_apt+=" python3 python3-venv" ;;
      java) names_in_apt+=" openjdk-21-jdk-headless" ;;
      maven) names_in_apt+=" maven" ;;
      chromium) names_in_apt+=" chromium" ;;
    esac
  done
  echo "Install what is missing (Debian, Ubuntu: sudo apt-get install$names_in_apt)," \
    "then run make setup again."
}

# Creates .venv from the hashed lock, or updates it if the lock or a pyproject.toml changed.
ensure_venv() {
  local python fingerprint installed works=false package editable=()
  python=$(find_python)
  fingerprint=$(cat requirements.lock "${PACKAGES[@]/%//pyproject.toml}" |
    "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
  installed=$(cat .venv/.lock 2>/dev/null || true)
  .venv/bin/python -c '' 2>/dev/null && works=true
  if $works && [[ $installed == "$fingerprint $PWD" ]]; then
    return
  fi
  log "installing Python packages into .venv (once; takes one to three minutes)"
  # An environment does not survive a move or the loss of its Python. Create a new one.
  if ! $works || [[ -n $installed && ${installed#* } != "$PWD" ]]; then
    # Clearing would follow a link and empty an environment that may be somebody else's.
    [[ ! -L .venv ]] || rm .venv
    "$python" -m venv --clear .venv
  fi
  # The lock lists everything. Without --no-deps, pip 23.2 looks up `coverage[toml]` of another package
  # beside the pinned `coverage`, and refuses the first newer version that appears.
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 \
    --require-hashes --no-deps -r requirements.lock ||
    die "the Python packages could not be installed;" \
      "fix what pip reports above (the network, the disk) and run make setup again"
  for package in "${PACKAGES[@]}"; do editable+=(--editable "$package"); done
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
    --no-deps "${editable[@]}"
  printf '%s %s' "$fingerprint" "$PWD" >.venv/.lock
}
