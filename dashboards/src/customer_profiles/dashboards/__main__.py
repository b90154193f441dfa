"""`python -m customer_profiles.dashboards`: see `customer_profiles.dashboards.cli`."""

from __future__ import annotations

import sys

from customer_profiles.dashboards.cli import main

if __name__ == "__main__":
    sys.exit(main())
