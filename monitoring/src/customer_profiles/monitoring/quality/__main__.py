"""`python -m customer_profiles.monitoring.quality`: see `quality.cli`."""

from __future__ import annotations

import sys
from collections.abc import Callable

from customer_profiles.common.launch import launch


def _load() -> Callable[[], int]:
    from customer_profiles.monitoring.quality.cli import main  # noqa: PLC0415

    return main


if __name__ == "__main__":
    sys.exit(launch(_load))
