#!/usr/bin/env bash
# Write the number of Spark workers to .env.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh
# shellcheck source=scripts/lib/env_file.sh
source scripts/lib/env_file.sh
[[ ${1:-} =~ ^[1-9][0-9]?$ ]] ||
  die "WORKERS=${1:-} is not a number from 1 to 99. Example: make scale WORKERS=3"
env_replace SPARK_WORKERS "$1"
log "SPARK_WORKERS=$1 in .env"
