"""Tables of benchmarks, kept in a document between two markers."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from customer_profiles.common.errors import PipelineError

INTERRUPTED = "Stopped. No table was written."
"""What a benchmark says after Ctrl-C."""


def describe_machine() -> str:
    """Return the cores, the architecture and the system of this machine in one line."""
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return f"{os.cpu_count()} cores, {platform.machine()}, {system}"


def show_table(text: str, name: str, document: Path | None) -> None:
    """Print a table, and keep it in a document if one is named, as `replace_table` does."""
    print(text)
    if document:
        replace_table(text, name, document)


def replace_table(text: str, name: str, path: Path) -> None:
    """Replace the text between `<!-- NAME -->` and `<!-- /NAME -->` in a document.

    Raises:
        PipelineError: the document has no such markers.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    document = path.read_text()
    before, _, rest = document.partition(begin)
    _, _, after = rest.partition(end)
    if not rest:
        raise PipelineError(f"{path} has no {begin}. Add it, with {end} on a later line.")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")
