#!/usr/bin/env bash
# Test the containers with the Docker engine of this machine, or with one that is started for the test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
trap 'tests/compose/engine.sh down' EXIT
variables=$(tests/compose/engine.sh up)
eval "$variables"
[[ -n $DOCKER_HOST ]] || unset DOCKER_HOST
[[ -n $DOCKER_CONFIG ]] || unset DOCKER_CONFIG
.venv/bin/python -m pytest -x tests/compose/check_containers.py "$@"
