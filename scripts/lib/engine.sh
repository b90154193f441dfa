# shellcheck shell=bash
# Containers or the native stack, and what a Docker engine has to have. Needs log.sh and env_file.sh.

# Prints docker or native: what STACK says, or docker where an engine with Compose answers.
stack_kind() {
  local chosen=${STACK:-$(env_get STACK)}
  case $chosen in
    docker | native) echo "$chosen" ;;
    "") if engine_answers; then echo docker; else echo native; fi ;;
    *) die "STACK=$chosen is neither docker nor native. Set it in .env or leave it out." ;;
  esac
}

engine_answers() {
  command -v docker >/dev/null && docker compose version >/dev/null 2>&1 && docker version >/dev/null 2>&1
}

# Ends with the other way where the engine is not usable, and warns where it is small.
check_engine() {
  local other="Or run everything without containers: STACK=native in .env, then make setup." memory map
  command -v docker >/dev/null || die "STACK is docker and there is no docker command. Install Docker with Compose. $other"
  docker compose version >/dev/null 2>&1 || die "docker has no Compose. Install the plugin docker-compose-v2. $other"
  docker version >/dev/null 2>&1 ||
    die "the Docker engine does not answer. Start it (Docker Desktop, or: sudo systemctl start docker). $other"
  memory=$(docker info --format '{{.MemTotal}}' 2>/dev/null || true)
  if [[ $memory =~ ^[0-9]+$ ]] && ((memory < 4000000000)); then
    warn "the Docker engine has $((memory / 1000000)) MB of memory and a full run takes 3 GB; give it more in its settings"
  fi
  map=$(cat "${MAX_MAP_COUNT:-/proc/sys/vm/max_map_count}" 2>/dev/null || true)
  if [[ $map =~ ^[0-9]+$ ]] && ((map < 262144)); then
    warn "vm.max_map_count is $map; Elasticsearch wants more: sudo sysctl -w vm.max_map_count=1048576"
  fi
}
