# shellcheck shell=bash
# The choice between containers and the native stack, and checks of the Docker engine.
# Needs log.sh and env_file.sh.

# Prints docker or native. STACK decides; without it, docker if an engine with Compose answers.
stack_kind() {
  local chosen
  chosen=$(env_setting STACK)
  case $chosen in
    docker | native) echo "$chosen" ;;
    "") if engine_answers; then echo docker; else echo native; fi ;;
    *) die "STACK=$chosen is neither docker nor native. Correct it in .env, or remove it." ;;
  esac
}

engine_answers() {
  command -v docker >/dev/null && docker compose version >/dev/null 2>&1 &&
    docker version >/dev/null 2>&1
}

# Fails if the engine is not usable and names the alternative. Warns if the engine is small.
check_engine() {
  local alternative="Or run everything without containers: STACK=native in .env, then make setup."
  local memory map
  command -v docker >/dev/null ||
    die "STACK is docker, but there is no docker command. Install Docker with Compose." \
      "$alternative"
  docker compose version >/dev/null 2>&1 ||
    die "docker has no Compose. Install the plugin docker-compose-v2. $alternative"
  docker version >/dev/null 2>&1 ||
    die "the Docker engine does not answer." \
      "Start it (Docker Desktop, or: sudo systemctl start docker). $alternative"
  memory=$(docker info --format '{{.MemTotal}}' 2>/dev/null || true)
  if [[ $memory =~ ^[0-9]+$ ]] && ((memory < 4000000000)); then
    warn "the Docker engine has $((memory / 1000000)) MB of memory, but a full run takes 3 GB;" \
      "give it more in its settings"
  fi
  map=$(cat "${MAX_MAP_COUNT:-/proc/sys/vm/max_map_count}" 2>/dev/null || true)
  if [[ $map =~ ^[0-9]+$ ]] && ((map < 262144)); then
    warn "vm.max_map_count is $map; Elasticsearch needs more:" \
      "sudo sysctl -w vm.max_map_count=1048576"
  fi
}
