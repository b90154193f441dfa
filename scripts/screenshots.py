#!/usr/bin/env python
"""Take the pictures of the page that the documents show, from a page that is being shown (`make dashboard`)."""

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
    """How Playwright is to start the browser of this machine, or its own where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    # Chromium's own sandbox needs rights that containers and root do not have; it sees our page alone.
    return {"executable_path": found, "args": ["--no-sandbox"]}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="screenshots.py", description=__doc__)
    parser.add_argument("address", nargs="?", default="http://127.0.0.1:8050")
    parser.add_argument("--folder", type=Path, default=Path("docs/images"))
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(**browser_options())
        for name, options in PICTURES.items():
            page = browser.new_page(**options)  # type: ignore[arg-type]
            page.goto(given.address)
            page.wait_for_selector("body[data-loaded]")
            path = given.folder / f"{name}.png"
            page.screenshot(path=path, full_page="phone" not in name)
            print(f"Written: {path}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
