"""`python -m customer_profiles.processing`: the topic into profiles, or one customer's profile."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from customer_profiles.common.launch import fast_imports, launch

_QUOTES = "\"'`\u2018\u2019\u201c\u201d"


def normalise_user_id(text: str) -> str:
    """Return a customer's id as profiles have it, from what people copy out of files and sheets.

    White space and quotes around it, leading zeros and the `.0` of a spreadsheet do not count.
    """
    user_id = text.strip().strip(_QUOTES).strip()
    number = re.fullmatch(r"([0-9]+)(\.0*)?", user_id)
    return (number[1].lstrip("0") or "0") if number else user_id


def _load() -> Callable[[], int]:
    """Import what every command needs. Commands with Spark import the rest while its JVM starts."""
    from customer_profiles.common.cli import run_command  # noqa: PLC0415
    from customer_profiles.common.environ import load_environ  # noqa: PLC0415
    from customer_profiles.common.errors import PipelineError  # noqa: PLC0415
    from customer_profiles.common.logs import configure_logging  # noqa: PLC0415
    from customer_profiles.processing.cli import USE_SPARK, parse_arguments  # noqa: PLC0415
    from customer_profiles.processing.settings import Settings  # noqa: PLC0415

    def run() -> int:
        parsed = parse_arguments()
        if parsed.command == "profile":
            parsed.user_id = normalise_user_id(parsed.user_id)
        environ = load_environ()
        console = configure_logging(environ)
        settings = Settings.from_env(environ)
        if parsed.command not in USE_SPARK:
            from customer_profiles.processing.queries import run_query  # noqa: PLC0415

            return run_query(parsed, settings, console)
        from customer_profiles.common.open_files import ensure_open_files  # noqa: PLC0415
        from customer_profiles.processing.spark.jvm import DriverJvm  # noqa: PLC0415

        ensure_open_files()
        with DriverJvm(settings) as jvm:
            # The JVM starts during this import, which takes half a second.
            with fast_imports():
                from customer_profiles.processing import commands  # noqa: PLC0415

            try:
                return commands.run_command(parsed, settings, console, jvm)
            except PermissionError as error:
                raise PipelineError(
                    f"{error}\nThe folder of reports has to be writable: REPORTS in .env."
                ) from error

    return lambda: run_command(run, interrupted="Stopped. `make process` goes on from here.")


if __name__ == "__main__":
    sys.exit(launch(_load))
