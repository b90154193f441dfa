"""The limit on open files: raised where the system allows it, named where it does not."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from customer_profiles.common.defaults import OPEN_FILES
from tests.support import ROOT

CODE = """
import resource
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.open_files import ensure_open_files
try:
    ensure_open_files()
except PipelineError as error:
    print(error)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def limited(soft: int, hard: int) -> list[str]:
    """Ask for enough open files in a process with these limits, and return its output."""
    completed = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    )
    return completed.stdout.splitlines()


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [(256, 4096, OPEN_FILES), (256, OPEN_FILES, OPEN_FILES), (2048, 4096, 2048)],
)
def test_a_low_limit_is_raised_to_what_is_needed(soft: int, hard: int, expected: int) -> None:
    assert limited(soft, hard) == [str(expected)]


def test_a_limit_that_cannot_be_raised_is_named_with_the_number_needed() -> None:
    message, action, limit = limited(256, 256)
    assert "A process may have 256 open files" in message
    assert f"need {OPEN_FILES}" in message
    assert "/etc/security/limits.conf" in action
    assert limit == "256"
