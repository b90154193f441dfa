"""The command line of `python -m customer_profiles.governance`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from customer_profiles.common.cli import run_command
from customer_profiles.common.console import printable_json, write_line
from customer_profiles.common.environ import load_environ
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.logs import configure_logging
from customer_profiles.governance.customers import read_customer
from customer_profiles.governance.explain import EXPLAINED, deduplicate, differs, explain
from customer_profiles.governance.render import print_customer, print_explanation, to_json
from customer_profiles.governance.settings import Settings
from customer_profiles.lake.s3 import S3Config, S3ObjectStore
from customer_profiles.profiles.segments import DEFAULT_SEGMENTS, read_segments

if TYPE_CHECKING:
    from rich.console import Console


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line without the program; the process's own if None.

    Returns:
        The exit code: 0, or 1 if a stored value is not what the events give.
    """
    options = _parser().parse_args(arguments)
    return run_command(lambda: _run(options), interrupted="Stopped; nothing was changed.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m customer_profiles.governance", description="Say where numbers come from."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    explaining = commands.add_parser(
        "explain",
        help="show the events behind a profile's fields",
        description="Show the events behind a customer's profile with their files, rows, offsets "
        "and micro-batches, and check that they give the stored values. Exit code 1: they do not.",
    )
    explaining.add_argument("user_id")
    explaining.add_argument(
        "--field", choices=EXPLAINED, metavar="FIELD", help="one field; default: all"
    )
    explaining.add_argument(
        "--through", type=int, metavar="BATCH", help="as of an earlier micro-batch"
    )
    explaining.add_argument("--json", action="store_true", help="print JSON with all events")
    return parser


def _run(options: argparse.Namespace) -> int:
    environ = load_environ()
    console = configure_logging(environ)
    settings = Settings.from_env(environ)
    return explain_customer(settings, options, console)


def explain_customer(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    """Explain fields of one customer's profile; return the exit code.

    Raises:
        PipelineError: the lake does not answer, or has no such customer.
    """
    store = S3ObjectStore(S3Config.from_settings(settings))
    segments = read_segments(settings.segments or DEFAULT_SEGMENTS)
    customer = read_customer(store, options.user_id, options.through)
    events, duplicates = deduplicate(customer.events)
    fields = [options.field] if options.field else EXPLAINED
    explanations = [explain(field, events, segments) for field in fields]
    profile = customer.profile
    wrong = [item.field for item in explanations if profile and differs(item, profile)]
    if options.json:
        content = to_json(customer, duplicates, explanations, wrong)
        write_line(printable_json(json.dumps(content, indent=2, ensure_ascii=False)))
    else:
        print_customer(customer, duplicates, console)
        for explanation in explanations:
            print_explanation(explanation, console)
    if profile is None and options.through is None:
        raise PipelineError("The profile is missing from the lake; run `make process`")
    if wrong:
        outdated = profile is not None and profile["segments_version"] != segments.version
        write_line(
            f"error: the stored profile has other values: {', '.join(wrong)}.\n"
            + (
                "It was made with other rules for segments; `make rebuild` applies these."
                if outdated and wrong == ["customer_segment"]
                else "`make verify DEEP=1` says what is wrong, and `make repair` mends it."
            ),
            sys.stderr,
        )
    return 1 if wrong else 0
