# shellcheck shell=bash
# Facts about this machine. Every probe is a command on the PATH or a variable, so that tests can
# fake it.

# Prints codespaces, wsl1, wsl2, macos, linux or unknown.
detect_platform() {
  local kernel release
  kernel=$(uname -s)
  release=$(uname -r)
  if [[ ${CODESPACES:-} == true ]]; then
    echo codespaces
  elif [[ $kernel == Darwin ]]; then
    echo macos
  elif [[ $kernel != Linux ]]; then
    echo unknown
  # WSL 1 answers 4.4.0-19041-Microsoft, WSL 2 5.15.90.1-microsoft-standard-WSL2.
  elif [[ $release == *-Microsoft ]]; then
    echo wsl1
  elif [[ $release == *[Mm]icrosoft* || -n ${WSL_DISTRO_NAME:-} ]]; then
    echo wsl2
  else
    echo linux
  fi
}

platform_name() {
  case $1 in
    codespaces) echo "GitHub Codespaces" ;;
    wsl1) echo "Windows Subsystem for Linux 1" ;;
    wsl2) echo "Windows Subsystem for Linux 2" ;;
    macos) echo "macOS" ;;
    linux) echo "Linux" ;;
    *) echo "an unknown system" ;;
  esac
}

# Prints the megabytes of memory, or nothing if they are unknown.
memory_mb() {
  if [[ -r ${MEMINFO:-/proc/meminfo} ]]; then
    awk '/^MemTotal:/ {print int($2 / 1024)}' "${MEMINFO:-/proc/meminfo}"
  elif command -v sysctl >/dev/null; then
    sysctl -n hw.memsize 2>/dev/null | awk '{print int($1 / 1048576)}'
  fi
}

# Prints the free megabytes on the disk of this folder, or nothing if they are unknown.
free_mb() {
  if command -v df >/dev/null; then
    df -Pk . | awk 'NR == 2 {print int($4 / 1024)}'
  fi
}

# Prints the address that leads from outside the Codespace to a port of this machine.
codespaces_url() {
  printf 'https://%s-%s.%s\n' "${CODESPACE_NAME:-codespace}" "$1" \
    "${GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN:-app.github.dev}"
}
