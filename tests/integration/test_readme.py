"""The README's ways to read the lake, run as they stand there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Stack, lake_profiles
from tests.support import ROOT

SNIPPETS = {
    match[1]: match[0]
    for match in re.finditer(r"(?<=```python\n)# (\w+).*?(?=```)", (ROOT / "README.md").read_text(), re.S)
}
AS_JSON = """
import json
pairs = segments.items() if hasattr(segments, "items") else segments.rows() if hasattr(segments, "rows") else segments
print(json.dumps({segment: int(count) for segment, count in pairs}))
"""


def test_there_is_a_way_for_each() -> None:
    assert set(SNIPPETS) == {"pandas", "Polars", "DuckDB", "Spark"}


@pytest.mark.parametrize("reader", SNIPPETS)
def test_a_way_to_read_the_lake(stack: Stack, tmp_path: Path, reader: str) -> None:
    names = ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "MINIO_PORT")
    (tmp_path / ".env").write_text("".join(f"{name}={stack.environ[name]}\n" for name in names))
    if reader == "Spark":
        done = stack.run("make", "spark-jars")
        assert done.returncode == 0, done.stderr
    (tmp_path / ".stack").mkdir()
    (tmp_path / ".stack" / "dist").symlink_to(Path(stack.environ["STACK_DIST"]).resolve())
    script = tmp_path / "snippet.py"
    script.write_text(SNIPPETS[reader] + AS_JSON)
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=tmp_path, env=dict(stack.environ), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == lake_profiles(stack)["customer_segment"].value_counts().to_dict()
    assert sum(found.values()) > 0
