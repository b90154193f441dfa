#!/usr/bin/env bash
# Choose a free port for every server and write it to .env.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh
# shellcheck source=scripts/lib/platform.sh
source scripts/lib/platform.sh
# shellcheck source=scripts/lib/env_file.sh
source scripts/lib/env_file.sh

# Default ports: those of customer_profiles.common.defaults. A test compares the two.
PORTS=(
  KAFKA_PORT=9092
  KAFKA_CONTROLLER_PORT=9093
  SPARK_MASTER_PORT=7077
  SPARK_UI_PORT=8080
  MINIO_PORT=9000
  MINIO_CONSOLE_PORT=9001
  ELASTICSEARCH_PORT=9200
  ELASTICSEARCH_TRANSPORT_PORT=9300
  KIBANA_PORT=5601
  DASHBOARD_PORT=8050
  MONITORING_PORT=9464
  PROMETHEUS_PORT=9090
  ALERTMANAGER_PORT=9094
  GRAFANA_PORT=3000
)

usage() {
  cat <<'TEXT'
usage: ./configure-ports.sh [--repick]

Chooses a free port for every server and writes it to .env: the default port where it is free, else
the next free one. A port that .env or the environment already sets stays as it is.

  --repick   replace ports that another program has taken since, and ports that two settings have;
             the stack has to be down
TEXT
}

# Succeeds if something listens on port $1. Tests name another command in PORT_PROBE.
is_taken() {
  if [[ -n ${PORT_PROBE:-} ]]; then
    "$PORT_PROBE" "$1"
  else
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
  fi
}

# Prints the first port from $1 on that is free and that no other setting uses.
pick() {
  local port=$1
  while is_taken "$port" || [[ " ${chosen[*]-} " == *" $port "* ]]; do
    port=$((port + 1))
    ((port < $1 + 500)) || die "No free port between $1 and $port. Set one in .env."
  done
  echo "$port"
}

# Fails if two settings have one port. With --repick, only if .env cannot repair that.
check_shared() {
  local repick=$1 number name value other
  for number in "${!PORTS[@]}"; do
    name=${PORTS[number]%%=*} value=${values[number]}
    other=$(first_with "$value")
    if [[ -z $value || $other == "$name" ]]; then
      continue
    elif ! $repick; then
      die "$other and $name are both $value. Correct one of them in .env," \
        "or let ./configure-ports.sh --repick choose another port for $name."
    elif [[ -n ${!name:-} ]]; then
      die "$other and $name are both $value, and the environment sets $name." \
        "Change it there, or unset $name."
    fi
  done
}

# Prints the first setting that has port $1.
first_with() {
  local number
  for number in "${!PORTS[@]}"; do
    if [[ ${values[number]} == "$1" ]]; then
      echo "${PORTS[number]%%=*}"
      return
    fi
  done
}

main() {
  local repick=false home number entry name default value port other values=() chosen=()
  case ${1:-} in
    "") ;;
    --repick) repick=true ;;
    -h | --help)
      usage
      return
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  home=$(env_setting STACK_HOME)
  if $repick && compgen -G "${home:-.stack}/run/*.json" >/dev/null; then
    die "The stack is running on its ports. Run \`make down\` first."
  fi
  for entry in "${PORTS[@]}"; do
    value=$(env_setting "${entry%%=*}")
    values+=("$value")
    [[ -z $value ]] || chosen+=("$value")
  done
  check_shared "$repick"
  env_create
  for number in "${!PORTS[@]}"; do
    entry=${PORTS[number]} value=${values[number]}
    name=${entry%%=*} default=${entry#*=}
    other=$(first_with "$value")
    if [[ -n $value && $other == "$name" ]] && ! { $repick && is_taken "$value"; }; then
      continue
    fi
    port=$(pick "$default")
    values[number]=$port
    chosen+=("$port")
    env_replace "$name" "$port"
    if [[ -n $value && $other != "$name" ]]; then
      log "port $value is the one of $other, too: $name=$port in .env"
    elif [[ -n $value ]]; then
      log "port $value is taken now: $name=$port in .env"
    elif [[ $port != "$default" ]]; then
      log "port $default is taken: $name=$port in .env"
    fi
  done
  if [[ $(detect_platform) == codespaces ]]; then
    log "this Codespace forwards the running servers to:"
    for name in ELASTICSEARCH_PORT MINIO_CONSOLE_PORT SPARK_UI_PORT; do
      log "  $name  $(codespaces_url "$(env_setting "$name")")"
    done
  fi
}

main "$@"
