#!/usr/bin/env bash
# Run everything, from a clean clone to profiles on the screen.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh

FILE=${FILE:-data/events.csv}

main() {
  local began=$SECONDS
  title "1/5  Preparing this machine"
  ./setup-environment.sh
  title "2/5  Starting Kafka, Spark, MinIO and Elasticsearch"
  make up
  title "3/5  Events of an electronics store"
  if [[ -f $FILE ]]; then
    log "using the existing $FILE"
  else
    make sample FILE="$FILE"
  fi
  title "4/5  CSV to Kafka"
  make ingest FILE="$FILE"
  title "5/5  Kafka to customer profiles"
  make process BRIEF=1
  make summary
  printf '\nDone in %d min %02d s. Stop everything with: make down\n' \
    $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))
}

main "$@"
