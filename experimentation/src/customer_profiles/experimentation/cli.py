"""The command line of the experiments: parses arguments and starts the command's workflow."""

from __future__ import annotations

import argparse
from pathlib import Path

from customer_profiles.common.cli import run_command
from customer_profiles.common.environ import load_environ
from customer_profiles.common.logs import configure_logging

INTERRUPTED = "Stopped. Whatever is written is whole; the same command continues after it."


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line without the program's name; None reads `sys.argv`.

    Returns:
        The exit code: 0, 1 after an error, 130 after Ctrl-C.
    """
    parsed = build_parser().parse_args(arguments)
    return run_command(lambda: _run(parsed), interrupted=INTERRUPTED)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands and their options."""
    parser = argparse.ArgumentParser(
        prog="python -m customer_profiles.experimentation",
        description="A/B tests on customers: assignment, exposures, planning and analysis.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    assign = commands.add_parser("assign", help="say which variant a customer gets, or publish all")
    assign.add_argument("experiment", help="the name of the experiment's file, without .toml")
    assign.add_argument("--id", help="a customer; without one, all customers are counted")
    assign.add_argument(
        "--publish", action="store_true", help="write the variants into the live profiles"
    )
    commands.add_parser("exposures", help="land new exposures in the lake, each exactly once")
    expose = commands.add_parser("expose", help="send exposures out of a file to Kafka")
    expose.add_argument("file", type=Path, help="CSV with a header, or JSON lines")
    analyse = commands.add_parser("analyse", help="land exposures, analyse, and write the report")
    analyse.add_argument("experiment", help="the name of the experiment's file, without .toml")
    plan = commands.add_parser("plan", help="say how many customers and days a test needs")
    plan.add_argument("experiment", help="the name of the experiment's file, without .toml")
    plan.add_argument("--days", type=_positive, help="also say what is detectable in this time")
    commands.add_parser("demo", help="run an experiment with a planted effect from end to end")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return number


def _run(arguments: argparse.Namespace) -> int:
    """Start the command's workflow."""
    environ = load_environ()
    console = configure_logging(environ)
    # Imported here, so that --help and a wrong argument are answered before Polars is loaded.
    from customer_profiles.experimentation import commands  # noqa: PLC0415
    from customer_profiles.experimentation.settings import Settings  # noqa: PLC0415

    settings = Settings.from_env(environ)
    match arguments.command:
        case "assign":
            return commands.run_assign(
                arguments.experiment,
                arguments.id or None,
                settings,
                console,
                publish=arguments.publish,
            )
        case "exposures":
            return commands.run_exposures(settings, console)
        case "expose":
            return commands.run_expose(arguments.file, settings, console)
        case "plan":
            from customer_profiles.experimentation.plan_command import run_plan  # noqa: PLC0415

            return run_plan(arguments.experiment, arguments.days, settings, console)
        case "demo":
            from customer_profiles.experimentation.demo import run_demo  # noqa: PLC0415

            return run_demo(settings, console)
        case _:
            from customer_profiles.experimentation.analyse_command import (  # noqa: PLC0415
                run_analyse,
            )

            return run_analyse(arguments.experiment, settings, console)
