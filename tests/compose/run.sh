#!/usr/bin/env bash
# The containers, tested: with this machine's engine, or with one that is brought up for it and ended again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
trap 'tests/compose/engine.sh down' EXIT
variables=$(tests/compose/engine.sh up)
eval "$variables"
[[ -n $DOCKER_HOST ]] || unset DOCKER_HOST
[[ -n $DOCKER_CONFIG ]] || unset DOCKER_CONFIG
.venv/bin/python -m pytest -x tests/compose/check_containers.py "$@"
