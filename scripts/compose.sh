#!/usr/bin/env bash
# What the Makefile's commands do in containers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh
# shellcheck source=scripts/lib/env_file.sh
source scripts/lib/env_file.sh
# shellcheck source=scripts/lib/engine.sh
source scripts/lib/engine.sh
# shellcheck source=scripts/lib/platform.sh
source scripts/lib/platform.sh

usage() {
  cat <<'TEXT'
usage: scripts/compose.sh up | down | status | clean [--yes] | logs [SERVER] [--follow]
       scripts/compose.sh run ingestion|processing ARGUMENT… | sample ARGUMENT… | dashboard

COMPOSE_FILE names other files than docker-compose.yml (and docker-compose.codespaces.yml in a Codespace).
TEXT
}

compose() {
  if [[ -z ${COMPOSE_FILE:-} && $(detect_platform) == codespaces ]]; then
    export COMPOSE_FILE=docker-compose.yml:docker-compose.codespaces.yml
  fi
  docker compose "$@"
}

up() {
  check_engine
  mkdir -p data reports
  compose up --build --detach --wait --remove-orphans || {
    compose ps --all >&2
    die "not everything started; what is not healthy above says why: make logs SERVER=its-name. Then run make up again. Without containers: STACK=native in .env, then make setup"
  }
  log "the stack is up. Next: make ingest, make process, make status"
}

entrypoint=()

# The generator of events lives beside the applications and needs the packages of one of them.
sample() {
  entrypoint=(--entrypoint python)
  run ingestion scripts/make_sample.py "$@"
}

# Jobs run as whoever calls, so that what they write belongs to them.
run() {
  local service=$1 options=(--rm "${entrypoint[@]}") argument
  shift
  mkdir -p data reports .stack/docker
  # Hadoop's login wants a name for the number.
  printf 'root:x:0:0::/root:/bin/sh\npipeline:x:%s:%s::/tmp:/bin/sh\n' "$(id -u)" "$(id -g)" >.stack/docker/passwd
  options+=(--volume "$PWD/.stack/docker/passwd:/etc/passwd:ro")
  for argument in "$@"; do
    # A file outside of this folder is not in the container otherwise.
    if [[ $argument == /* && -f $argument ]]; then
      options+=(--volume "$argument:$argument:ro")
    fi
  done
  export PIPELINE_USER
  PIPELINE_USER="$(id -u):$(id -g)"
  if [[ -t 0 && -t 1 ]]; then
    compose --progress quiet run "${options[@]}" "$service" "$@"
  else
    run_aside --no-TTY "${options[@]}" "$service" "$@"
  fi
}

# Without a terminal Compose leaves a job alone when it is interrupted. Here the job hears of it and ends by
# itself, as it does on a terminal, where Ctrl-C goes to it directly.
run_aside() {
  local name="pipeline-job-$$" code=0 child
  [[ ! -t 0 ]] || exec </dev/null
  # A group of its own, which a terminal's Ctrl-C does not reach.
  set -m
  compose --progress quiet run --name "$name" "$@" <&0 &
  child=$!
  set +m
  trap 'docker kill --signal INT "$name" >/dev/null 2>&1 || true' INT TERM
  while true; do
    wait "$child" && code=0 || code=$?
    # A wait also ends with each signal that is passed on.
    if ((code <= 128)) || ! kill -0 "$child" 2>/dev/null; then break; fi
  done
  trap - INT TERM
  return "$code"
}

# Kibana is the one that shows dashboards in containers.
dashboard() {
  local port
  if [[ -z $(compose ps --quiet kibana) ]]; then
    die "Kibana does not run: COMPOSE_PROFILES=kibana in .env starts it with make up (768 MB). Without containers, make dashboard shows a page of its own: STACK=native"
  fi
  port=$(env_get KIBANA_PORT)
  log "dashboards: http://127.0.0.1:${port:-5601}/app/dashboards (account elastic, its ELASTIC_PASSWORD is in .env)"
}

status() {
  local ids=()
  compose ps --all
  mapfile -t ids < <(compose ps --quiet)
  if ((${#ids[@]})); then
    docker stats --no-stream --format 'table {{.Name}}\t{{.MemUsage}}\t{{.CPUPerc}}' "${ids[@]}"
  fi
}

clean() {
  if [[ ${1:-} != --yes ]]; then
    [[ -t 0 ]] || die "this removes all data of the stack. To do so without a question, run make clean YES=1"
    read -r -p "This stops the stack and removes topics, lake and index. Type yes to go on: " answer
    if [[ $answer != yes ]]; then
      log "nothing was removed"
      return 1
    fi
  fi
  compose --profile '*' down --volumes --remove-orphans
  log "removed all data; the images are kept"
}

logs() {
  local options=(--tail 20) argument
  for argument in "$@"; do
    if [[ $argument == --follow ]]; then options+=(--follow); else options+=("$argument"); fi
  done
  compose logs "${options[@]}"
}

main() {
  case ${1:-} in
    up | run | sample | dashboard | status | clean | logs) "$@" ;;
    down) compose --profile '*' down --remove-orphans ;;
    -h | --help) usage ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
}

main "$@"
