"""`python -m customer_profiles.processing`: the topic into profiles, or one customer's profile."""

from __future__ import annotations

import sys

from customer_profiles.common.cli import run_command
from customer_profiles.common.environ import load_environ
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.logs import configure_logging
from customer_profiles.processing.cli import USE_SPARK, parse_arguments
from customer_profiles.processing.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parsed = parse_arguments(arguments)

    def run() -> int:
        environ = load_environ()
        console = configure_logging(environ)
        settings = Settings.from_env(environ)
        if parsed.command not in USE_SPARK:
            from customer_profiles.processing.queries import run_query  # noqa: PLC0415

            return run_query(parsed, settings, console)
        from customer_profiles.processing.spark.jvm import DriverJvm  # noqa: PLC0415

        with DriverJvm(settings) as jvm:
            # The JVM starts during this import, which takes half a second.
            from customer_profiles.processing import commands  # noqa: PLC0415

            try:
                return commands.run_command(parsed, settings, console, jvm)
            except PermissionError as error:
                raise PipelineError(
                    f"{error}\nThe folder of reports has to be writable: REPORTS in .env."
                ) from error

    return run_command(run, interrupted="Stopped. `make process` goes on from here.")


if __name__ == "__main__":
    sys.exit(main())
