"""`python -m customer_profiles.ingestion`."""

import sys

from customer_profiles.ingestion.cli import main

if __name__ == "__main__":
    sys.exit(main())
