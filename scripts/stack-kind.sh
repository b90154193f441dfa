#!/usr/bin/env bash
# Print which stack the commands use: docker or native.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh
# shellcheck source=scripts/lib/env_file.sh
source scripts/lib/env_file.sh
# shellcheck source=scripts/lib/engine.sh
source scripts/lib/engine.sh
stack_kind
