"""The whole synthetic file, as `make demo` runs it, against an independent query."""

from __future__ import annotations

from pathlib import Path

from tests.integration.conftest import Stack, check_profiles, ingest, process


def test_every_field_of_every_profile_of_the_full_file(fresh_stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    assert fresh_stack.run("make", "sample", f"FILE={path}").returncode == 0
    up = fresh_stack.python("stack", "up")
    assert up.returncode == 0, up.stdout + up.stderr
    ingested = ingest(fresh_stack, path)
    assert ingested["read"] == 885_129
    report = process(fresh_stack)
    assert report["events_landed"] == report["events"] == ingested["accepted"]
    check_profiles(fresh_stack, path)
