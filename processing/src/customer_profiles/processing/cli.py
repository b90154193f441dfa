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
    _add_process(commands)
    commands.add_parser("stream", help="keep processing: profiles follow the events within seconds")
    commands.add_parser("setup", help="create the lake, the indices and the accounts")
    commands.add_parser(
        "restore-index", help="promote the index that was live before the last rebuild"
    )
    commands.add_parser("summary", help="print what all profiles add up to, and where to look next")
    verify = commands.add_parser(
        "verify",
        help="check that the lake, the index and the topic have everything that they should",
        description="Check the whole lake against plans, commits, checkpoint, state and manifest, "
        "and against index and topic. Exit code 0: no findings; 1: findings.",
    )
    verify.add_argument(
        "--deep",
        action="store_true",
        help="read all contents: checksums, every event against the topic, profiles and counts "
        "computed again, every document of the index",
    )
    repair = commands.add_parser(
        "repair",
        help="rebuild what can be rebuilt, and say exactly what is lost",
        description="Read everything, and say what a repair would do. With --apply, rebuild events "
        "from the topic, profiles and counts from events, records from objects, and the index "
        "from the lake. A repair may be stopped and run again. Exit code 1: something is lost or "
        "remains.",
    )
    repair.add_argument("--apply", action="store_true", help="do it, instead of a dry run")
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


def _add_process(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `process` and `rebuild`."""
    process = commands.add_parser(
        "process", help="land what is new, update profiles and index, print a summary"
    )
    rebuild = commands.add_parser(
        "rebuild", help="compute all profiles again, into a new index that replaces the old one"
    )
    for command in (process, rebuild):
        command.add_argument("--brief", action="store_true", help="leave the summary out")
    process.add_argument(
        "--new-topic",
        action="store_true",
        help="go on with a topic raw_events that is not the one of before",
    )
    process.add_argument(
        "--accept-gaps",
        action="store_true",
        help="accept that messages were removed before they were read, and close those gaps",
    )
