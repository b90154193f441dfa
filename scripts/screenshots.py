#!/usr/bin/env python
"""Take the pictures of the page for the documents.

The page has to be running (`make dashboard`).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

PICTURES = {
    "dashboard": {"viewport": {"width": 1400, "height": 900}},
    "dashboard-dark": {"viewport": {"width": 1400, "height": 900}, "color_scheme": "dark"},
    "dashboard-phone": {"viewport": {"width": 390, "height": 844}},
}


def browser_options() -> dict[str, Any]:
    """Return Playwright's launch options: this machine's browser, or Playwright's own without one.

    Chromium's sandbox is off, because containers and root lack the rights that it needs. The
    browser opens our page alone.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    return {"executable_path": browser, "args": ["--no-sandbox"]}


def main(arguments: list[str] | None = None) -> int:
    """Take every picture. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="screenshots.py", description=__doc__)
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:8050")
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(**browser_options())
        for name, picture in PICTURES.items():
            page = browser.new_page(**picture)  # type: ignore[arg-type]
            page.goto(options.address)
            page.wait_for_selector("body[data-loaded]")
            path = options.folder / f"{name}.png"
            page.screenshot(path=path, full_page="phone" not in name)
            print(f"Written: {path}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
