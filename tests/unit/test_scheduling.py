"""Tests that share servers run in one process, and those with servers of their own beside them."""

from __future__ import annotations

import pytest

from tests.scheduling import OWN_SERVERS, SHARED_SERVERS, rank, unit
from tests.support import ROOT


@pytest.mark.parametrize("path", OWN_SERVERS)
def test_a_file_with_servers_of_its_own_exists_and_is_a_unit(path: str) -> None:
    assert (ROOT / path).is_file()
    assert unit(f"{path}::test_one[a::b]") == path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/integration/test_path.py", SHARED_SERVERS),
        ("tests/e2e/test_commands.py", SHARED_SERVERS),
        # A new file is safe before anybody has thought about its servers.
        ("tests/integration/test_new.py", SHARED_SERVERS),
        ("tests/unit/lake/test_s3.py", "tests/unit/lake/test_s3.py"),
        ("tests/shell/test_setup.py", "tests/shell/test_setup.py"),
    ],
)
def test_tests_of_the_sessions_servers_are_one_unit(path: str, expected: str) -> None:
    assert unit(f"{path}::test_one") == expected


def test_long_units_come_first_and_the_rest_keeps_its_order() -> None:
    paths = [
        "tests/integration/test_path.py",
        OWN_SERVERS[0],
        "tests/contract/test_schema.py",
        *OWN_SERVERS[1:],
        "tests/shell/test_setup.py",
        "tests/unit/lake/test_s3.py",
    ]
    shuffled = [*sorted(paths[1:-2]), paths[0], *paths[-2:]]
    assert sorted(shuffled, key=rank) == paths


def test_the_shared_servers_are_those_of_the_session() -> None:
    """A file that starts servers for itself alone would hold up the process of the shared ones."""
    starts = {
        str(path.relative_to(ROOT))
        for folder in ("integration", "e2e", "faults")
        for path in (ROOT / "tests" / folder).glob("test_*.py")
        if "with running(" in path.read_text()
    }
    assert starts <= set(OWN_SERVERS)
