"""Compose imports Kibana's objects in a container that has none of the package's dependencies."""

from __future__ import annotations

import subprocess
import sys

from tests.support import ROOT

PROGRAM = """
import sys
sys.path.insert(0, "dashboards/src")
from customer_profiles.dashboards.saved_objects import to_ndjson
from customer_profiles.dashboards.kibana import main
assert to_ndjson()
sys.exit(main(["http://127.0.0.1:9"]))
"""


def test_the_import_needs_only_the_standard_library() -> None:
    # -I and -S leave only the standard library on the path.
    command = [sys.executable, "-I", "-S", "-c", PROGRAM]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert completed.stderr.startswith("error: Kibana does not answer on http://127.0.0.1:9")
    assert completed.returncode == 1
