"""The command line of `python -m customer_profiles.processing`."""

from __future__ import annotations

import argparse

USE_SPARK = ("process", "rebuild", "stream")
"""The commands that need the driver's JVM."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; `command` names what to do."""
    parser = argparse.ArgumentParser(
        prog="python -m customer_profiles.processing",
        description="Turn the topic raw_events into customer profiles, or show them.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    process = commands.add_parser(
        "process", help="land what is new, update profiles and index, print a summary"
    )
    rebuild = commands.add_parser(
        "rebuild", help="compute all profiles again, into a new index that replaces the old one"
    )
    for command in (process, rebuild):
        command.add_argument("--brief", action="store_true", help="leave the summary out")
    commands.add_parser("stream", help="keep processing: profiles follow the events within seconds")
    commands.add_parser("setup", help="create the lake, the indices and the accounts")
    commands.add_parser(
        "restore-index", help="promote the index that was live before the last rebuild"
    )
    commands.add_parser("summary", help="print what all profiles add up to, and where to look next")
    profile = commands.add_parser("profile", help="print one customer's profile")
    profile.add_argument("user_id")
    profile.add_argument(
        "--from",
        dest="origin",
        choices=("index", "lake"),
        default="index",
        help="which of the two to print (default: index)",
    )
    return parser.parse_args(arguments)
