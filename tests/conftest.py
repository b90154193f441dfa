"""Mark each test with its level, for options such as `-m unit` and `-m "not integration"`.

Property tests have no deadline for an example: a busy machine is no defect.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

TESTS = Path(__file__).parent
LEVELS = {"unit", "contract", "shell", "integration", "faults", "e2e", "compose"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        level = item.path.relative_to(TESTS).parts[0]
        if level in LEVELS:
            item.add_marker(level)
