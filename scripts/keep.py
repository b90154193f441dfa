"""Tables of benchmarks in a document, between two markers."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> str:
    """What was measured on, in a few words."""
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release().split('-')[0]}"


def keep(text: str, name: str, path: Path) -> None:
    """Replace the table of this name."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    document = path.read_text()
    before, _, rest = document.partition(begin)
    _, _, after = rest.partition(end)
    if not rest:
        raise SystemExit(f"error: {path} has no {begin}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")
