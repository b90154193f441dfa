#!/usr/bin/env bash
# Run an experiment with a planted effect, on a machine with or without a running stack.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh

main() {
  title "Preparing this machine"
  ./setup-environment.sh
  # Where the servers are containers, the commands of experiments still run in .venv.
  make .venv/.ready
  title "Starting Kafka, Spark, MinIO and Elasticsearch"
  make up
  exec .venv/bin/python -m customer_profiles.experimentation demo
}

main "$@"
