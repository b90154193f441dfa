#!/usr/bin/env bash
# Find a browser for the tests of the page, or install one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh
# shellcheck source=scripts/lib/tools.sh
source scripts/lib/tools.sh

# Ubuntu has a chromium-browser command that only explains how to get the browser. A command that
# prints a version is a real one.
for name in chromium chromium-browser google-chrome; do
  if "$name" --version >/dev/null 2>&1; then exit; fi
done
downloads=${PLAYWRIGHT_BROWSERS_PATH:-$HOME/.cache/ms-playwright}
if [[ -n $(find "$downloads" -maxdepth 1 -name 'chromium*' 2>/dev/null) ]]; then exit; fi
if grep -q '^ID=debian' /etc/os-release 2>/dev/null && as_root >/dev/null; then
  install_tools chromium
else
  log "the tests of the page need Chromium; downloading Playwright's"
  .venv/bin/playwright install chromium ||
    die "no browser could be installed. Install Chromium or Chrome," \
      "or skip the tests of the page: make test TESTS=tests/unit"
fi
