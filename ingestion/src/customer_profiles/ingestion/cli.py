"""The command line of the ingestion: parses arguments and starts the command's workflow."""

from __future__ import annotations

import argparse
import gc
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from customer_profiles.common.cli import run_command
from customer_profiles.common.environ import load_environ
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.logs import configure_logging

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)

RENAMED_COMMANDS = {"replay": "redrive", "replay-live": "simulate"}
"""Old names, which this release still accepts, and the new ones."""
INTERRUPTED = "Stopped. Whole blocks are in Kafka; the same command continues after them."


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
        prog="python -m customer_profiles.ingestion",
        description="CSV events into Kafka, exactly once; and what to do with rejected rows.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    ingest = commands.add_parser("ingest", help="send CSV events to Kafka, exactly once")
    ingest.add_argument(
        "file", help="CSV file with events, plain or compressed; - reads standard input"
    )
    commands.add_parser("setup", help="create the topics that are missing")
    _add_simulate_options(
        commands.add_parser(
            "simulate",
            aliases=["replay-live"],
            help="send a file's events as if they happened now",
        )
    )
    dead_letters = commands.add_parser(
        "dead-letters", help="list rejected rows by reason, source and day, with examples"
    )
    dead_letters.add_argument(
        "--export", type=Path, metavar="CSV", help="also write the open ones, for correction"
    )
    _add_selection_options(dead_letters)
    redrive = commands.add_parser(
        "redrive",
        aliases=["replay"],
        help="send corrected dead letters again; only says what it would send unless --apply",
    )
    redrive.add_argument(
        "--corrected", "--mended", type=Path, metavar="CSV", help="an export with corrected values"
    )
    redrive.add_argument("--apply", action="store_true", help="send them")
    _add_selection_options(redrive)
    return parser


def _add_simulate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="CSV file with events, in the order of their times")
    parser.add_argument(
        "--speed", type=_positive, default=1.0, help="factor on the file's own pace (default: 1)"
    )
    parser.add_argument(
        "--rate", type=_positive, help="events per second, evenly spread, in place of --speed"
    )
    parser.add_argument(
        "--seconds", type=_positive, help="stop after this time, if the file does not end before"
    )


def _add_selection_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", help="only dead letters with this reason")
    parser.add_argument("--source", help="only dead letters of this source")
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="only dead letters since this time: ISO 8601, UTC unless it has an offset",
    )


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _run(arguments: argparse.Namespace) -> int:
    """Start the command's workflow."""
    environ = load_environ()
    console = configure_logging(environ)
    command = _current_name(arguments.command)
    if command in ("dead-letters", "redrive"):
        return _run_dead_letter_command(command, arguments, environ, console)
    return _run_file_command(command, arguments, environ, console)


def _run_file_command(
    command: str, arguments: argparse.Namespace, environ: Mapping[str, str], console: Console
) -> int:
    # Imported here, so that --help and a wrong argument are answered before Polars is loaded.
    with _collection_paused():
        from customer_profiles.ingestion import commands  # noqa: PLC0415
        from customer_profiles.ingestion.settings import Settings  # noqa: PLC0415
        from customer_profiles.telemetry.runs import observed_run  # noqa: PLC0415

    settings = Settings.from_env(environ)
    if command == "setup":
        return commands.run_setup(settings, console)
    if command == "ingest":
        with observed_run(settings.reports, command, "ingest-latest.json"):
            return commands.run_ingest(arguments.file, settings, console)
    pace = commands.Pace(arguments.speed, arguments.rate, arguments.seconds)
    return commands.run_simulate(Path(arguments.file), pace, settings, console)


def _run_dead_letter_command(
    command: str, arguments: argparse.Namespace, environ: Mapping[str, str], console: Console
) -> int:
    with _collection_paused():
        from customer_profiles.ingestion import dead_letter_commands  # noqa: PLC0415
        from customer_profiles.ingestion.dead_letters import Selection  # noqa: PLC0415
        from customer_profiles.ingestion.settings import Settings  # noqa: PLC0415

    settings = Settings.from_env(environ)
    since = _parse_since(arguments.since)
    selection = Selection(arguments.reason or None, arguments.source or None, since)
    if command == "dead-letters":
        return dead_letter_commands.run_dead_letters(selection, arguments.export, settings, console)
    return dead_letter_commands.run_redrive(
        selection, arguments.corrected, arguments.apply, settings, console
    )


@contextmanager
def _collection_paused() -> Iterator[None]:
    """Pause garbage collection: imports leave hardly any garbage, so it would only slow them."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _current_name(command: str) -> str:
    """Return the current name of a command, and warn if the user called it by its old name."""
    current = RENAMED_COMMANDS.get(command, command)
    if current != command:
        logger.warning(
            "The command %s is now %s. The next release drops the old name.", command, current
        )
    return current


def _parse_since(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        since = datetime.fromisoformat(text)
    except ValueError as error:
        raise PipelineError(
            f"SINCE={text} is no time.\nWrite it as 2026-11-23 or 2026-11-23T12:00."
        ) from error
    return since if since.tzinfo else since.replace(tzinfo=UTC)
