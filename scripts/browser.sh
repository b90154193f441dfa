#!/usr/bin/env bash
# Find the browser that the tests of the page drive, or install one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/lib/log.sh
source scripts/lib/log.sh
# shellcheck source=scripts/lib/tools.sh
source scripts/lib/tools.sh

# Ubuntu's command of this name only tells where to get the browser: one that says its version is there.
for name in chromium chromium-browser google-chrome; do
  if "$name" --version >/dev/null 2>&1; then exit; fi
done
if [[ -n $(find "${PLAYWRIGHT_BROWSERS_PATH:-$HOME/.cache/ms-playwright}" -maxdepth 1 -name 'chromium*' 2>/dev/null) ]]; then exit; fi
if grep -q '^ID=debian' /etc/os-release 2>/dev/null && as_root >/dev/null; then
  install_tools chromium
else
  log "the tests of the page need Chromium; fetching the one of Playwright"
  .venv/bin/playwright install chromium || die "no browser could be installed. Install Chromium or Chrome, or leave the tests of the page out: make test TESTS=tests/unit"
fi
