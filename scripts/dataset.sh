#!/usr/bin/env bash
# Download the real events of the electronics store with Kaggle's client.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh
# shellcheck source=scripts/lib/env_file.sh
source scripts/lib/env_file.sh

DATASET=mkechinov/ecommerce-events-history-in-electronics-store
TARGET=${1:-data/events.csv}
COLUMNS=event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session

label=$(dirname "$TARGET")/.$(basename "$TARGET").sample
if [[ -e $TARGET && ! -e $label && -z ${FORCE:-} ]]; then
  log "$TARGET is there already and is no sample;" \
    "nothing was downloaded (FORCE=1 downloads it again)"
  exit
fi
./setup-kaggle.sh
stack_home=$(env_setting STACK_HOME)
client=${stack_home:-.stack}/kaggle/bin/kaggle
folder=$(mktemp -d "${TMPDIR:-/tmp}/dataset.XXXXXX")
trap 'rm -rf "$folder"' EXIT
"$client" datasets download "$DATASET" -f events.csv -p "$folder" --force ||
  die "Kaggle did not give the file; fix what its client reports above" \
    "(an expired token, the network) and run make dataset again"
# Kaggle zips large files.
if [[ -f $folder/events.csv.zip ]]; then
  .venv/bin/python -m zipfile -e "$folder/events.csv.zip" "$folder"
fi
[[ -f $folder/events.csv ]] || die "Kaggle sent no events.csv, but: $(ls "$folder")"
if [[ $(head -n 1 "$folder/events.csv" | tr -d '\r') != "$COLUMNS" ]]; then
  first_line=$(head -c 200 "$folder/events.csv" | head -n 1)
  die "Kaggle sent a file that holds no events; its first line is: $first_line"
fi
mkdir -p "$(dirname "$TARGET")"
mv "$folder/events.csv" "$TARGET.new"
rm -f "$label"
mv "$TARGET.new" "$TARGET"
log "$(wc -c <"$TARGET" | tr -d ' ') bytes: $TARGET. Next: make ingest FILE=$TARGET"
