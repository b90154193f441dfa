"""Mark each test with its level, for options such as `-m unit` and `-m "not integration"`.

Property tests have no deadline for an example: a busy machine is no defect.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from stack.processes import ProcessRecords
from tests.scheduling import Scheduling, rank

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

TESTS = Path(__file__).parent
LEVELS = {"unit", "contract", "shell", "integration", "faults", "e2e", "compose"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        level = item.path.relative_to(TESTS).parts[0]
        if level in LEVELS:
            item.add_marker(level)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Escape half characters, which some tests log and no process can send to another."""
    return _escaped((yield))


def _escaped(data: Any) -> Any:
    match data:
        case str():
            return data.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {name: _escaped(value) for name, value in data.items()}
        case list() | tuple():
            return type(data)(map(_escaped, data))
    return data


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the servers of processes that had to be killed, for example after Ctrl-C.

    This runs after xdist has ended its processes, and before pytest gives their folders up.
    """
    config = session.config
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        return
    factory: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
    for run in factory.getbasetemp().glob("popen-*/*/run"):
        records = ProcessRecords(run)
        for name in records.names():
            records.stop(name)
