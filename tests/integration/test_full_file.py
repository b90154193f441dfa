"""The profiles of the full synthetic file, as in `make demo`, match an independent query."""

from __future__ import annotations

from pathlib import Path

from tests.integration.conftest import check_profiles, ingest, process, running


def test_every_profile_of_the_full_file_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    with running(tmp_path / "stack", BUCKETS="") as stack:
        assert stack.run("make", "sample", f"FILE={path}").returncode == 0
        ingested = ingest(stack, path)
        assert ingested["read"] == 885_129
        report = process(stack)
        assert report["events_landed"] == report["events"] == ingested["accepted"]
        check_profiles(stack, path)
