#!/usr/bin/env bash
# Prepare this machine: install missing tools, write .env and build the servers once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh
# shellcheck source=scripts/lib/platform.sh
source scripts/lib/platform.sh
# shellcheck source=scripts/lib/env_file.sh
source scripts/lib/env_file.sh
# shellcheck source=scripts/lib/tools.sh
source scripts/lib/tools.sh
# shellcheck source=scripts/lib/engine.sh
source scripts/lib/engine.sh

usage() {
  cat <<'TEXT'
usage: ./setup-environment.sh [--check | --no-servers | --native]

Installs the tools that the pipeline lacks (Python 3.11 or newer, Java, Maven), creates the Python
environment .venv, writes .env and builds the servers under .stack. Where a Docker engine answers,
everything runs in containers and the script writes .env alone. Running it again is safe and quick.

  --check        list missing tools and change nothing; exit 1 if a tool is missing
  --no-servers   do everything except building the servers
  --native       set up the Python environment and the servers even if a Docker engine answers
TEXT
}

describe_machine() {
  local platform memory
  platform=$(detect_platform)
  memory=$(memory_mb)
  log "$(platform_name "$platform")${memory:+, $memory MB of memory}"
  case $platform in
    wsl1)
      warn "WSL 1 is slow with many files; switch to WSL 2: wsl --set-version <distribution> 2"
      ;;
    wsl2)
      if [[ -n $memory ]] && ((memory < 6000)); then
        warn "WSL has $memory MB of memory. Give it more: memory=8GB under [wsl2]" \
          "in %UserProfile%\\.wslconfig, then wsl --shutdown"
      fi
      ;;
    unknown)
      warn "the pipeline is not tested on this system, only on Linux, macOS, WSL and Codespaces"
      ;;
  esac
  if [[ $platform == wsl* && $PWD == /mnt/* ]]; then
    warn "this folder is on the Windows disk, which is slow from WSL;" \
      "a clone under ~ is many times faster"
  fi
  if [[ -n $memory ]] && ((memory < 3500)); then
    warn "$memory MB of memory are little: the servers take about 2 GB and a full run takes 5 GB"
  fi
}

# Packages take 3 GB with their caches, and the servers another 3. Check before writing anything.
check_disk() {
  local free needed=200
  free=$(free_mb)
  [[ -f .venv/.ready ]] || needed=6000
  if [[ -n $free ]] && ((free < needed)); then
    die "the disk of this folder has $free MB free and $needed MB are needed." \
      "Free some space, or clone onto another disk, and run make setup again"
  fi
}

# Processes of the native stack need more open files than some systems allow. The number is OPEN_FILES
# of customer_profiles.common.defaults. A test compares the two.
check_open_files() {
  local needed=1024 hard
  hard=$(ulimit -Hn)
  if [[ $hard != unlimited ]] && ((hard < needed)); then
    die "a process may have $hard open files here (ulimit -Hn), and the servers need $needed." \
      "Run the command in a shell that allows more: start a new one, or raise nofile to $needed" \
      "in /etc/security/limits.conf and log in again"
  fi
}

write_settings() {
  local name kind=$1
  env_create
  env_default MINIO_ROOT_USER profiles-admin
  env_default MINIO_ROOT_PASSWORD "$(new_secret)"
  for name in KAFKA_PASSWORD ELASTIC_PASSWORD SPARK_AUTH_SECRET; do
    env_default "$name" "$(new_secret)"
  done
  if [[ $kind == docker ]]; then
    for name in MINIO_JOBS_PASSWORD ELASTIC_JOBS_PASSWORD ELASTIC_READER_PASSWORD KIBANA_PASSWORD \
      KIBANA_ENCRYPTION_KEY GRAFANA_PASSWORD; do
      env_default "$name" "$(new_secret)"
    done
  fi
  ./configure-ports.sh
}

main() {
  local mode=all kind
  case ${1:-} in
    "") ;;
    --check) mode=check ;;
    --no-servers) mode=no-servers ;;
    --native) mode=native ;;
    -h | --help)
      usage
      return
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  describe_machine
  kind=$(stack_kind)
  if [[ $kind == docker && $mode == all ]]; then
    check_engine
    write_settings docker
    log "ready: everything runs in containers. Next: make demo, or make up"
    return
  fi
  check_disk
  check_open_files
  if [[ $mode == check ]]; then
    check_tools
    return
  fi
  ensure_tools
  ensure_venv
  write_settings "$kind"
  if [[ $mode != no-servers ]]; then
    .venv/bin/python -m stack install
  fi
  touch .venv/.ready
  log "ready. Next: make demo, or make up"
}

main "$@"
