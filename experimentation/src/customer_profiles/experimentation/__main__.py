"""`python -m customer_profiles.experimentation`: see `customer_profiles.experimentation.cli`."""

from __future__ import annotations

import sys
from collections.abc import Callable

from customer_profiles.common.launch import launch


def _load() -> Callable[[], int]:
    from customer_profiles.experimentation.cli import main  # noqa: PLC0415

    return main


if __name__ == "__main__":
    sys.exit(launch(_load))
