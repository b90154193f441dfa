"""Which tests run at the same time, when `make test` runs them in several processes.

Each process takes a file of tests and runs it in order. All tests of the session's servers are one
unit, because they share the servers and what earlier tests left there: one process runs them in the
usual order. Files that start servers of their own run beside them, and then the tests without
servers, which fill the time in which servers and clients wait.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

OWN_SERVERS = (
    "tests/faults/test_processing.py",
    "tests/faults/test_outages.py",
    "tests/integration/test_stream.py",
    "tests/faults/test_damages.py",
    "tests/faults/test_ingestion.py",
    "tests/integration/test_full_file.py",
    "tests/integration/test_dashboard.py",
    "tests/e2e/test_lifecycle.py",
    "tests/integration/test_upgrade.py",
)
"""Files whose tests use no servers of other files, the longest first."""
WITH_SERVERS = ("tests/integration/", "tests/e2e/", "tests/faults/")
SHARED_SERVERS = "the session's servers"
LAST = ("tests/integration/test_monitoring.py", "tests/integration/test_experiments.py")
"""They add to the session's topics and lake, and the other tests there know all that is there."""
SHORT = ("tests/contract/",)
"""A few seconds each."""


def unit(nodeid: str) -> str:
    """Return the name of the unit to which a test belongs."""
    path = nodeid.split("::", 1)[0]
    if path.startswith(WITH_SERVERS) and path not in OWN_SERVERS:
        return SHARED_SERVERS
    return path


def rank(nodeid: str) -> tuple[int, int]:
    """Return the place of a test's unit in the queue; equal places keep their order.

    The longest units come first, so that all processes end at about the same time. A process is
    given its second unit at the start, so these are short.
    """
    name = unit(nodeid)
    if name == SHARED_SERVERS:
        return 0, int(nodeid.startswith(LAST))
    if name not in OWN_SERVERS:
        return (2, 0) if name.startswith(SHORT) else (4, 0)
    place = OWN_SERVERS.index(name)
    return (3 if place else 1), place


class Scheduling(LoadScopeScheduling):
    """Gives each process one unit after another, in the order in which they were collected."""

    def schedule(self) -> None:
        """Give each process its first units."""
        self.config.option.loadscopereorder = False
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)
