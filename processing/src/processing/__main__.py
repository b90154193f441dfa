"""`python -m processing`: the topic into profiles, or one customer's profile."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext

from dotenv import dotenv_values
from pyspark.errors import PySparkException

from processing.errors import ProcessError
from processing.session import Java
from processing.settings import Settings

USE_SPARK = ("process", "rebuild", "stream")


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    environ = {key: value or "" for key, value in {**dotenv_values(".env"), **os.environ}.items()}
    try:
        settings = Settings.from_env(environ)
        with Java(settings) if given.command in USE_SPARK else nullcontext() as java:
            # Half a second, in which Java starts.
            from processing import commands  # noqa: PLC0415

            return commands.run(given, settings, java)
    except ProcessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except PySparkException as error:
        print(f"error: Spark gave up: {error}\nRun `make status`, then `make process` again.", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"error: {error}\nThe folder of reports has to be writable: REPORTS in .env.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. `make process` goes on from here.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m processing", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    everything = commands.add_parser("process", help="land what is new, update profiles and index, print a summary")
    rebuilding = commands.add_parser(
        "rebuild", help="the same for all profiles, into a new index that replaces the old"
    )
    for command in (everything, rebuilding):
        command.add_argument("--brief", action="store_true", help="leave the summary out")
    commands.add_parser("stream", help="the same, kept running: profiles follow the events within seconds")
    commands.add_parser("setup", help="make the lake, the index and the accounts that are missing")
    commands.add_parser("restore-index", help="show the index again that was shown before the last rebuild")
    commands.add_parser("summary", help="print what all profiles add up to, and where to look next")
    profile = commands.add_parser("profile", help="print one customer's profile")
    profile.add_argument("user_id")
    profile.add_argument(
        "--from", dest="origin", choices=("index", "lake"), default="index", help="which of the two to print"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
