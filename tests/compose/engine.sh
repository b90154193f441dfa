#!/usr/bin/env bash
# Provide a Docker engine and images for the container tests on a machine that has none.
#   engine.sh up     start an engine if none answers, and print the variables that select it
#   engine.sh down   stop the engine that this script started
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh
# shellcheck source=scripts/lib/env_file.sh
source scripts/lib/env_file.sh
# shellcheck source=scripts/lib/engine.sh
source scripts/lib/engine.sh

HERE=$PWD/.stack/engine
# The next Debian release has Compose, and an engine that supports start intervals of health checks.
SUITE=trixie
ENGINE_PACKAGES=(docker.io docker-cli docker-compose docker-buildx containerd)
MIRROR=/etc/apt/sources.list.d/debian.sources

# Not empty where stand-ins take the place of the official images.
stand_ins=

say() { printf '  %s\n' "$*" >&2; }

# Unpack the packages of the engine without installing them.
fetch_engine() {
  [[ ! -f $HERE/fetched ]] || return 0
  [[ $(id -u) == 0 && -f $MIRROR ]] ||
    die "no Docker engine answers, and this script can provide one only to root on Debian. Start yours, then run make test-compose again"
  say "fetching a Docker engine"
  rm -rf "$HERE/root" "$HERE/apt"
  mkdir -p "$HERE"/{root,debs,run} "$HERE"/apt/{lists,cache/archives}/partial
  # Use the configured mirror.
  sed "s/^Suites: bookworm .*/Suites: $SUITE/; s/^Suites: bookworm-security/Suites: $SUITE-security/" "$MIRROR" >"$HERE/apt/debian.sources"
  local options=(-o "Dir::Etc::sourcelist=$HERE/apt/debian.sources" -o "Dir::Etc::sourceparts=/dev/null"
    -o "Dir::State::lists=$HERE/apt/lists" -o "Dir::Cache=$HERE/apt/cache" -o APT::Sandbox::User=root)
  apt-get "${options[@]}" -qq update >&2
  (cd "$HERE/debs" && apt-get "${options[@]}" -qq download "${ENGINE_PACKAGES[@]}" >&2)
  local package
  for package in "$HERE"/debs/*.deb; do dpkg-deb -x "$package" "$HERE/root"; done
  # Install runc from this release, because that of the next one needs a newer libc.
  apt-get -qq update >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends runc iptables debootstrap >/dev/null
  touch "$HERE/fetched"
}

use_engine() {
  export PATH=$HERE/root/usr/bin:$HERE/root/usr/sbin:$PATH
  export DOCKER_HOST=unix://$HERE/run/docker.sock DOCKER_CONFIG=$HERE/config
  mkdir -p "$DOCKER_CONFIG/cli-plugins"
  ln -sf "$HERE"/root/usr/libexec/docker/cli-plugins/* "$DOCKER_CONFIG/cli-plugins/"
}

start_engine() {
  use_engine
  if docker version >/dev/null 2>&1; then return; fi
  say "starting the engine"
  echo '{}' >"$HERE/daemon.json"
  setsid dockerd --host "$DOCKER_HOST" --data-root "$HERE/data" --exec-root "$HERE/run/exec" \
    --pidfile "$HERE/run/docker.pid" --config-file "$HERE/daemon.json" >"$HERE/dockerd.log" 2>&1 &
  local pid=$!
  until docker version >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null || die "the engine ended while it was starting: $(tail -n 3 "$HERE/dockerd.log")"
    sleep 0.2
  done
}

has() { docker image inspect "$1" >/dev/null 2>&1; }

# Without access to a registry, build stand-in images from Debian packages and the native stack's servers.
make_images() {
  local dist=${STACK_DIST:-$PWD/.stack/dist} here=tests/compose/stand-ins image
  if [[ ! -f $HERE/no-hub ]]; then
    if timeout 120 docker pull --quiet debian:trixie-slim >/dev/null 2>&1; then return; fi
    # Do not try again on the next run.
    touch "$HERE/no-hub"
  fi
  stand_ins=1
  if ! has debian:trixie-slim; then
    say "building a Debian base image"
    make_base
  fi
  has python:3.13-slim-trixie || docker tag debian:trixie-slim python:3.13-slim-trixie
  say "building stand-ins for the servers' images from the native stack"
  .venv/bin/python -m tests.compose.security.build
  docker build --quiet --tag stand-in-java - <"$here/java.Dockerfile" >/dev/null
  while read -r name image; do
    docker build --quiet --file "$here/$name.Dockerfile" --build-context "scripts=$here" --tag "$image" "$dist" >/dev/null
  done <<LIST
golang golang:1.26-trixie
kafka $(image_of kafka)
elasticsearch $(image_of elasticsearch)
LIST
}

# Build the applications' images here, so that the tests find their layers: CI does this beside other tests.
build_applications() {
  local application
  for application in ingestion processing; do
    sed 's/@sha256:[0-9a-f]\{64\}//' "$application/Dockerfile" | docker build --quiet --file - . >/dev/null
  done
}

# Prints the image of a service without its digest, which a stand-in cannot have.
image_of() {
  awk -v service="  $1:" '$0 == service {found = 1} found && /^    image:/ {print $2; exit}' docker-compose.yml |
    sed 's/@.*//'
}

make_base() {
  local root=$HERE/base
  rm -rf "$root"
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python3-pip $SUITE "$root" >"$HERE/debootstrap.log" 2>&1 ||
    die "debootstrap failed: $(tail -n 3 "$HERE/debootstrap.log")"
  # Copy the certificates and settings that the package managers need here.
  cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
  chroot "$root" update-ca-certificates >/dev/null 2>&1
  [[ ! -f /etc/pip.conf ]] || cp /etc/pip.conf "$root/etc/pip.conf"
  cp "$HERE/apt/debian.sources" "$root/etc/apt/sources.list.d/"
  rm -f "$root/etc/apt/sources.list" "$root"/usr/lib/python3*/EXTERNALLY-MANAGED "$root"/var/cache/apt/archives/*.deb
  ln -sf /usr/bin/python3 "$root/usr/local/bin/python"
  tar -C "$root" -c . | docker import - debian:trixie-slim >/dev/null
  rm -rf "$root"
}

case ${1:-} in
  up)
    if ! engine_answers; then
      fetch_engine
      start_engine
    fi
    mkdir -p "$HERE"
    make_images
    # A stand-in has the tag of an official image, but not its digest.
    [[ -z $stand_ins ]] || build_applications
    printf 'export PATH=%q DOCKER_HOST=%q DOCKER_CONFIG=%q STAND_INS=%q\n' \
      "$PATH" "${DOCKER_HOST:-}" "${DOCKER_CONFIG:-}" "$stand_ins"
    ;;
  down)
    if [[ -f $HERE/run/docker.pid ]]; then
      pid=$(cat "$HERE/run/docker.pid")
      kill "$pid"
      while kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
    fi
    ;;
  *) die "usage: tests/compose/engine.sh up | down" ;;
esac
