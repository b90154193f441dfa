"""Logging of all applications: text for people, or one JSON object per line for machines.

Modules log through `logging.getLogger(__name__)` and name what happened in `extra`:

    logger.info("landed %s events", f"{n:,}", extra={"event": "batch_landed", "batch": batch})
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from customer_profiles.common.console import (
    create_console,
    printable_json,
    printable_lines,
    write_line,
)
from customer_profiles.common.defaults import LOG_FORMAT, LOG_FORMATS, LOG_LEVEL, LOG_LEVELS
from customer_profiles.common.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)

OWN_LOGGERS = ("customer_profiles", "stack", "benchmarks", "scripts", "__main__")
"""The loggers of this project. `LOG_LEVEL` applies to them; other libraries log warnings only."""

_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(
    environ: Mapping[str, str], console: Console | None = None, *, run_id: str | None = None
) -> Console:
    """Send all log records to one handler. Call it once, at the start of a command.

    Args:
        environ: Has `LOG_FORMAT`, which is `text` (the default) or `json`, and `LOG_LEVEL`, the
            least severe level.
        console: Prints the records of the text format; the result of `create_console` if None. A
            progress bar has to be shown on the same console.
        run_id: Stands in each JSON record; a random id if None.

    Returns:
        The console for the command's results. In the JSON format it logs what is printed.

    Raises:
        SettingsError: `LOG_FORMAT` or `LOG_LEVEL` is not a known one.
    """
    as_json = is_json(environ)
    level = _choice(environ, "LOG_LEVEL", LOG_LEVEL, LOG_LEVELS)
    if as_json or console is None:
        console = create_console(as_json=as_json)
    handler = JsonHandler(run_id or os.urandom(8).hex()) if as_json else TextHandler(console)
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old, JsonHandler | TextHandler):
            root.removeHandler(old)
    root.addHandler(handler)
    logging.captureWarnings(as_json)
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(level)
    # Elasticsearch's client logs each attempt with a traceback. Our own message says it once.
    for name in ("elastic_transport.transport", "elastic_transport.node_pool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return console


def is_json(environ: Mapping[str, str]) -> bool:
    """Whether `LOG_FORMAT` asks for JSON.

    Raises:
        SettingsError: `LOG_FORMAT` is not a known one.
    """
    return _choice(environ, "LOG_FORMAT", LOG_FORMAT, LOG_FORMATS) == "json"


def print_error(message: str) -> None:
    """Print why a command failed on standard error, as JSON if that is the log's format."""
    if _logs_json():
        logger.error("%s", message, extra={"event": "command_failed"})
    else:
        write_line(f"error: {message}", sys.stderr)


def print_interrupted(message: str) -> None:
    """Print on standard error what an interrupted command leaves behind, as JSON if need be."""
    if _logs_json():
        logger.warning("%s", message, extra={"event": "command_interrupted"})
    else:
        write_line(message, sys.stderr)


def log_crash() -> bool:
    """Log the current exception with its traceback, if the log's format is JSON.

    Returns:
        False if the format is text: then Python prints the traceback itself.
    """
    if _logs_json():
        logger.critical("unexpected error", exc_info=True, extra={"event": "command_crashed"})
    return _logs_json()


class TextHandler(logging.Handler):
    """Prints bare messages.

    The project's own records go to the console, indented by two spaces, warnings in yellow. Errors
    and the records of other libraries go to standard error.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        text = printable_lines(self._formatter.format(record))
        if record.name.partition(".")[0] not in OWN_LOGGERS:
            write_line(text, sys.stderr)
        elif record.levelno >= logging.ERROR:
            write_line(f"error: {text}", sys.stderr)
        else:
            style = "yellow" if record.levelno >= logging.WARNING else None
            indented = "  " + text.replace("\n", "\n  ")
            self._console.print(indented, style=style, markup=False)


class JsonHandler(logging.Handler):
    """Writes one JSON object per record to standard error.

    Each object has `time` (ISO 8601, UTC), `level`, `event`, `run_id`, `batch`, `message` and
    `logger`. `event` and `batch` are null unless the record names them. The other fields of `extra`
    follow.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self._run_id = run_id
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname,
            "event": getattr(record, "event", None),
            "run_id": self._run_id,
            "batch": getattr(record, "batch", None),
            "message": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info:
            fields["exception"] = self._formatter.formatException(record.exc_info)
        for name, value in vars(record).items():
            if name not in _STANDARD_FIELDS:
                fields.setdefault(name, value)
        text = json.dumps(fields, ensure_ascii=False, default=str)
        write_line(printable_json(text), sys.stderr)


def _logs_json() -> bool:
    return any(isinstance(handler, JsonHandler) for handler in logging.getLogger().handlers)


def _choice(environ: Mapping[str, str], name: str, default: str, choices: tuple[str, ...]) -> str:
    value = environ.get(name) or default
    if value not in choices:
        raise SettingsError(
            f"{name}={value} is none of {', '.join(choices)}.\nSet it in .env, or leave it out."
        )
    return value
