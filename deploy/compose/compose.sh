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
       deploy/compose/compose.sh run ingestion|processing|monitoring ARGUMENT… | sample ARGUMENT… | dashboard

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
  # The monitoring service reads the files that jobs write for their owner alone.
  export PIPELINE_USER
  PIPELINE_USER="$(id -u):$(id -g)"
  compose up --build --detach --wait --remove-orphans || {
    compose ps --all >&2
    die "not every server started. For each server above that is not healthy, the log says why:" \
      "make logs SERVER=its-name. Then run make up again." \
      "To run without containers: STACK=native in .env, then make setup"
  }
  log "the stack is up. Next: make ingest, make process, make status"
}

# The sample generator is no application: it runs in the ingestion image, for its Python packages. It
# reads nothing foreign, and writes into the folder of its file.
sample() {
  local argument folder
  for argument in "$@"; do
    if [[ $argument == --out=* ]]; then
      folder=$(dirname -- "${argument#--out=}")
      mkdir -p -- "$folder"
      mount_at "$folder"
      # The generator needs no secret, wherever its file is.
      if [[ -f $folder/.env ]]; then options+=(--volume "/dev/null:$(inside "$folder/.env"):ro"); fi
    fi
  done
  options+=(--entrypoint python --volume "$PWD/scripts:/project/scripts:ro")
  run_job ingestion scripts/make_sample.py "$@"
}

# Options of `docker compose run`.
options=(--rm)

# Prints the path that a path has in a container, where this folder is /project.
inside() {
  if [[ $1 == /* ]]; then printf '%s' "$1"; else printf '/project/%s' "$1"; fi
}

# Mounts a file or a folder where a job looks for it. With `ro` the job cannot change it.
mount_at() {
  local path=$1 source=$1
  [[ $path == /* ]] || source=$PWD/$path
  [[ $source != *:* ]] ||
    die "Docker cannot mount a path with a colon: $path." \
      "Rename it, or pipe the file in: make ingest FILE=- <the-file"
  options+=(--volume "$source:$(inside "$path")${2:+:$2}")
}

# Mounts the files that the arguments name, because a job sees data/ and reports/ alone.
mount_files() {
  local argument path
  for argument in "$@"; do
    path=${argument#--corrected=}
    path=${path#--contract=}
    path=${path#--calendar=}
    if [[ $argument == --export=* ]]; then
      path=${argument#--export=}
      # A mounted file has to exist. Whatever it holds is replaced, or kept if the job fails.
      [[ -d $(dirname -- "$path") && ! -d $path ]] ||
        die "$path cannot be written: there is no such folder. Name another file: EXPORT=…"
      (umask 077 && : >>"$path")
      mount_at "$path"
    elif [[ -f $path && $path != -* && $path != data/* ]]; then
      mount_at "$path" ro
    fi
  done
}

# Runs a job as the current user, so that this user owns the files that the job writes.
run() {
  local segments
  mount_files "${@:2}"
  if [[ $1 == processing ]]; then
    segments=$(env_setting SEGMENTS)
    [[ -z $segments ]] || mount_files "$segments"
  fi
  run_job "$@"
  if [[ $1 == processing && ${2:-} =~ ^(process|rebuild)$ ]]; then renew_dashboards; fi
}

# Lets the dashboards open on the time range of the new data, where Kibana runs.
renew_dashboards() {
  [[ -n $(compose ps --quiet --status running kibana 2>/dev/null) ]] || return 0
  compose --progress quiet run --rm --no-deps setup-dashboards ||
    log "the dashboards in Kibana keep their old time range; run make up to set it again"
}

run_job() {
  local service=$1
  shift
  mkdir -p data reports .stack/docker
  # Hadoop's login needs a name for the user id.
  printf 'root:x:0:0::/root:/bin/sh\npipeline:x:%s:%s::/tmp:/bin/sh\n' "$(id -u)" "$(id -g)" \
    >.stack/docker/passwd
  options+=(--volume "$PWD/.stack/docker/passwd:/etc/passwd:ro")
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
