#!/usr/bin/env bash
# The Makefile's commands, in containers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
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
usage: deploy/compose/compose.sh up | down | status | clean [--yes] | logs [SERVER] [--follow]
       deploy/compose/compose.sh run ingestion|processing ARGUMENT… | sample ARGUMENT… | dashboard

Set COMPOSE_FILE to use other files than docker-compose.yml (in a Codespace also
docker-compose.codespaces.yml).
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
    die "not every server started. For each server above that is not healthy, the log says why:" \
      "make logs SERVER=its-name. Then run make up again." \
      "To run without containers: STACK=native in .env, then make setup"
  }
  log "the stack is up. Next: make ingest, make process, make status"
}

entrypoint=()

# The sample generator is no application: it runs in the ingestion image, for its Python packages.
sample() {
  entrypoint=(--entrypoint python)
  run ingestion scripts/make_sample.py "$@"
}

# Runs a job as the current user, so that this user owns the files that the job writes.
run() {
  local service=$1 options=(--rm "${entrypoint[@]}") argument
  shift
  mkdir -p data reports .stack/docker
  # Hadoop's login needs a name for the user id.
  printf 'root:x:0:0::/root:/bin/sh\npipeline:x:%s:%s::/tmp:/bin/sh\n' "$(id -u)" "$(id -g)" \
    >.stack/docker/passwd
  options+=(--volume "$PWD/.stack/docker/passwd:/etc/passwd:ro")
  for argument in "$@"; do
    # The container sees this folder alone, so mount files from elsewhere.
    if [[ $argument == /* && -f $argument ]]; then
      [[ $argument != *:* ]] ||
        die "Docker cannot mount a file with a colon in its path: $argument." \
          "Rename it, or pipe it in: make ingest FILE=- <the-file"
      options+=(--volume "$argument:$argument:ro")
    fi
  done
  export PIPELINE_USER
  PIPELINE_USER="$(id -u):$(id -g)"
  if [[ -t 0 && -t 1 ]]; then
    compose --progress quiet run "${options[@]}" "$service" "$@"
  else
    run_without_terminal --no-TTY "${options[@]}" "$service" "$@"
  fi
}

# Runs a job without a terminal. Compose then does not pass Ctrl-C on, so pass it on here: the job
# ends by itself, as it does on a terminal, where Ctrl-C reaches it directly.
run_without_terminal() {
  local name="pipeline-job-$$" code=0 child
  [[ ! -t 0 ]] || exec </dev/null
  # Put Compose into a process group of its own, which a terminal's Ctrl-C does not reach.
  set -m
  compose --progress quiet run --name "$name" "$@" <&0 &
  child=$!
  set +m
  trap 'docker kill --signal INT "$name" >/dev/null 2>&1 || true' INT TERM
  while true; do
    wait "$child" && code=0 || code=$?
    # Each signal that the trap passes on also ends a wait.
    if ((code <= 128)) || ! kill -0 "$child" 2>/dev/null; then break; fi
  done
  trap - INT TERM
  return "$code"
}

# In containers, Kibana shows the dashboards.
dashboard() {
  local port
  if [[ -z $(compose ps --quiet kibana) ]]; then
    die "Kibana does not run. Set COMPOSE_PROFILES=kibana in .env and run make up" \
      "(Kibana takes 768 MB). Without containers (STACK=native), make dashboard serves its own page"
  fi
  port=$(env_setting KIBANA_PORT)
  log "dashboards: http://127.0.0.1:${port:-5601}/app/dashboards" \
    "(user elastic, password ELASTIC_PASSWORD in .env)"
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
    [[ -t 0 ]] ||
      die "this removes all data of the stack. To skip the question, run make clean YES=1"
    log "This stops the stack and removes topics, lake and index."
    read -r -p "  Type yes to continue: " answer
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
