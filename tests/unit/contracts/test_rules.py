from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest

from customer_profiles.contracts import rules

PATTERNS = {
    "PLAIN_TIME": rules.PLAIN_TIME,
    "PLAIN_INTEGER": rules.PLAIN_INTEGER,
    "PLAIN_PRICE": rules.PLAIN_PRICE,
    "PLAIN_TEXT": rules.PLAIN_TEXT,
    **rules.MESSAGE_PATTERNS,
}


@pytest.mark.parametrize("name", PATTERNS)
def test_rusts_regex_crate_understands_every_pattern(name: str) -> None:
    assert pl.Series(["x"]).str.contains(PATTERNS[name], strict=True).len() == 1


def test_lengths_follow_from_the_limits() -> None:
    assert rules.MESSAGE_LENGTHS["source_row"] == (1, 15)
    assert rules.MESSAGE_LENGTHS["user_id"] == (1, 20)


def test_the_contract_imports_only_the_standard_library() -> None:
    program = (
        "import customer_profiles.contracts, customer_profiles.contracts.reference, sys; "
        "roots = {name.partition('.')[0] for name in sys.modules}; "
        "allowed = set(sys.stdlib_module_names) | {'customer_profiles', 'sitecustomize'}; "
        "print(sorted(name for name in roots - allowed if not name.startswith('_')))"
    )
    # -S skips the .pth files of the environment, which may import other packages.
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {program}"]
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == "[]"
