"""The README's ways to read the lake, and the examples that need servers, as they stand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow.fs import FileType

from examples import follow_the_topic, read_the_lake
from scripts.make_sample import make_events
from tests.integration.conftest import Stack, ingest, lake_files, lake_profiles, process
from tests.support import ROOT

SNIPPETS = {
    match[1]: match[0]
    for match in re.finditer(
        r"(?<=```python\n)# (\w+).*?(?=```)", (ROOT / "README.md").read_text(), re.S
    )
}
AS_JSON = """
import json
pairs = segments
if hasattr(segments, "items"):
    pairs = segments.items()
elif hasattr(segments, "rows"):
    pairs = segments.rows()
print(json.dumps({segment: int(count) for segment, count in pairs}))
"""


@pytest.fixture(scope="module", autouse=True)
def profiles(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Fill the lake where no earlier test did."""
    if lake_files(stack).get_file_info("data-lake/customer_profiles").type == FileType.NotFound:
        path = tmp_path_factory.mktemp("rows") / "events.csv"
        make_events(2_000, 1).write_csv(path)
        ingest(stack, path)
        process(stack)


def test_the_readme_has_a_program_for_each_reader() -> None:
    assert set(SNIPPETS) == {"pandas", "Polars", "DuckDB", "Spark"}


@pytest.mark.parametrize("reader", SNIPPETS)
def test_a_program_reads_the_lake(stack: Stack, tmp_path: Path, reader: str) -> None:
    names = ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "MINIO_PORT")
    (tmp_path / ".env").write_text("".join(f"{name}={stack.environ[name]}\n" for name in names))
    if reader == "Spark":
        completed = stack.run("make", "spark-jars")
        assert completed.returncode == 0, completed.stderr
    (tmp_path / ".stack").mkdir()
    (tmp_path / ".stack" / "dist").symlink_to(Path(stack.environ["STACK_DIST"]).resolve())
    script = tmp_path / "snippet.py"
    script.write_text(SNIPPETS[reader] + AS_JSON)
    command = [sys.executable, str(script)]
    completed = subprocess.run(
        command, cwd=tmp_path, env=dict(stack.environ), capture_output=True, text=True, timeout=300
    )
    assert completed.returncode == 0, completed.stderr
    counts = json.loads(completed.stdout.splitlines()[-1])
    assert counts == lake_profiles(stack)["customer_segment"].value_counts().to_dict()
    assert sum(counts.values()) > 0


def test_the_best_customers_are_read_from_the_lake(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_the_lake.main(["--top", "3"], environ=stack.environ) == 0
    profiles = lake_profiles(stack)
    best = profiles.loc[profiles["total_revenue"].astype(float).idxmax(), "user_id"]
    assert best in capsys.readouterr().out


def test_events_are_followed_until_enough_are_printed(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--max", "5", "--seconds", "30", "--from-beginning"]
    assert follow_the_topic.main(arguments, environ=stack.environ) == 0
    assert capsys.readouterr().out.count("view") >= 1
