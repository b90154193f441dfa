"""Whatever strangers wrote, a terminal gets printable text, and rich reads no markup in it."""

from __future__ import annotations

import ast
import io
import json
import logging
import random
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from customer_profiles.common.console import (
    LoggingConsole,
    PlainConsole,
    printable,
    printable_json,
    printable_lines,
    rich_console,
)
from customer_profiles.common.logs import configure_logging, print_error, print_interrupted
from customer_profiles.common.progress import ProgressDisplay
from customer_profiles.contracts import DeadLetter, InvalidMessages, Progress
from customer_profiles.ingestion import render as ingestion_render
from customer_profiles.ingestion.dead_letters import StoredDeadLetter, summarise
from customer_profiles.ingestion.inputs import CsvInput
from customer_profiles.ingestion.report import IngestReport, RedriveReport
from customer_profiles.ingestion.sources import Source, log_invalid
from customer_profiles.processing import render as processing_render
from customer_profiles.processing.report import MicroBatch, RunReport
from tests.support import ROOT

ATTACKS = [
    "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\link", "\x1b[2J\x1b[H", "\x1b[8m", "\x9b31m",
    "\x9d0;x\x9c", "\x90q\x9c", "\r", "\b\b\b", "\x00", "\x7f", "\u202e", "\u2066", "\u200b",
    "\ufeff", "\u2028", "\x85", "\ud800", "\U000e0001", "[/x]", "[/]", "[bold]", "[link=x]", "[[",
    "\\[", "[/x", ":smile:", "\t", "\n", "é", "🙂", "x", "\\", "'", "%s", "{0}",
]  # fmt: skip
ROUNDS = 60
RICHS_OWN = re.compile(r"\x1b\[(?:(?!8m)[0-9;]*m|2K|\d*A|\?25[lh])|\r")
"""The sequences with which rich colours text and redraws a progress bar. No attack is like them."""


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Leave the log handlers of the test run as they were."""
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers


def assert_printable(output: str) -> None:
    bad = {character for character in output if not (character.isprintable() or character == "\n")}
    assert not bad, bad


def texts(seed: int) -> Callable[[], str]:
    dice = random.Random(seed)  # noqa: S311
    return lambda: "".join(dice.choices(ATTACKS, k=dice.randrange(8)))


def make_console(kind: str, file: io.StringIO) -> Console:
    if kind == "plain":
        return cast("Console", PlainConsole())
    if kind == "json":
        return cast("Console", LoggingConsole())
    colors = "standard" if kind == "terminal" else None
    return rich_console(
        file=file, width=100, color_system=colors, force_terminal=kind == "terminal"
    )


def print_everything(console: Console, text: Callable[[], str]) -> None:
    """Call every function that prints, with texts of strangers in every place."""
    csv_input: Any = type("Input", (), {"label": text(), "name": "f.csv"})()
    progress = Progress(text(), 5, "0" * 64, 1, 1, 0, 0, text())
    for source in (Source(text(), progress), Source(text(), None)):
        ingestion_render.print_source(
            cast("CsvInput", csv_input), source, text(), reingest=True, console=console
        )
    report = IngestReport(text(), text(), read=3, reasons={text(): 1, "not_utf8": 1})
    report.normalised = {text(): 2}
    ingestion_render.print_ingest_report(report, Path(text().replace("\0", "")), console)
    ingestion_render.print_simulation_start(csv_input, text(), text(), console)
    letters = [
        StoredDeadLetter(
            f"0/{number}",
            datetime(2026, 11, 23, tzinfo=UTC),
            DeadLetter(text(), number, [text(), text()], text(), [text()], text()),
            replayed=False,
        )
        for number in range(3)
    ]
    ingestion_render.print_overview(summarise(letters), console)
    ingestion_render.print_export(3, Path(text().replace("\0", "")), console)
    redrive = RedriveReport(applied=True, selected=1, reasons={text(): 1})
    ingestion_render.print_redrive_report(redrive, console)
    invalid = InvalidMessages(text())
    invalid.add(0, 1, text())
    log_invalid(invalid)
    profile = {"user_id": text(), "total_revenue": 1.0, "total_purchases": 1}
    for brand in (text(), None):
        processing_render.print_best_customers([{**profile, "favorite_brand": brand}], console)
    processing_render.print_next_steps(text(), text(), text(), console)
    run = RunReport(events=3, customers=3, segments={text(): 1, text(): 2}, invalid_messages=1)
    processing_render.print_run(run, console)
    console.print(processing_render.summary(run))
    batch = MicroBatch(1, text(), 1, 1, 1, 1.0, {}, 1, None, 1, text())
    console.print(processing_render.micro_batch_line(batch))
    table = Table(text(), title=text())
    table.add_row(text())
    table.add_row(Text(text()))
    console.print(table)
    console.print(text(), text(), style="bold")
    console.print(Text(text()))


@pytest.mark.parametrize("kind", ["plain", "rich", "terminal"])
def test_no_text_of_strangers_reaches_a_terminal(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, file = texts(1), io.StringIO()
    console = configure_logging({}, make_console(kind, file))
    for _ in range(ROUNDS):
        print_everything(console, text)
        print_error(text())
        print_interrupted(text())
        logging.getLogger("customer_profiles.x").warning("%s", text())
        logging.getLogger("customer_profiles.x").error("%s", text())
        logging.getLogger("elsewhere").warning("%s", text())
    captured = capsys.readouterr()
    output = file.getvalue() + captured.out
    assert len(output) > 50_000
    assert captured.err
    assert ("\x1b[1m" in output) == (kind == "terminal")
    colors = re.compile(r"\x1b\[(?!8m)[0-9;]*m")
    assert_printable(colors.sub("", output) if kind == "terminal" else output)
    assert_printable(captured.err)


def test_no_text_of_strangers_reaches_a_json_log(capsys: pytest.CaptureFixture[str]) -> None:
    text = texts(2)
    console = configure_logging({"LOG_FORMAT": "json"})
    for _ in range(ROUNDS // 5):
        print_everything(console, text)
    message = "".join(ATTACKS)
    print_error(message)
    captured = capsys.readouterr()
    assert_printable(captured.out + captured.err)
    records = [json.loads(line) for line in captured.err.splitlines()]
    # The escapes are those of JSON, so a program reads what was meant.
    assert records[-1]["message"] == message


@pytest.mark.parametrize("unit", ["bytes", "tasks [/x]"])
def test_no_text_of_strangers_reaches_a_progress_bar(unit: str) -> None:
    text, file = texts(3), io.StringIO()
    console = rich_console(file=file, width=100, force_terminal=True)
    with ProgressDisplay(console, unit) as display:
        for number in range(40):
            display(text(), number, 100, description=text())
            if display._bar:
                display._bar.refresh()
    assert_printable(RICHS_OWN.sub("", file.getvalue()))


def test_printable_text_stays_as_it_is() -> None:
    for text in ("", "plain", "l'oréal [/x] ü 🙂 \\n", "日本語"):
        assert printable(text) == printable_lines(text) == printable_json(text) == text
    assert printable("a\x1b[1m\n\u202e\ud800\x9b") == "a\\x1b[1m\\n\\u202e\\ud800\\x9b"
    assert printable("abc", 2) == "ab"
    assert printable_lines("a\n\tb\r\n") == "a\n    b\\r\n"
    text = "".join(ATTACKS)
    shown = printable_json(json.dumps({"a": [text]}, ensure_ascii=False, indent=2))
    assert_printable(shown)
    assert json.loads(shown) == {"a": [text]}


PRINTERS = {
    "libs/common/src/customer_profiles/common/console.py": "the place that escapes",
    "dashboards/src/customer_profiles/dashboards/kibana.py": "runs with the standard library alone",
}
"""Modules that may call `print`, and why."""


@pytest.mark.parametrize("folder", ["libs", "ingestion", "processing", "dashboards"])
def test_only_the_consoles_print(folder: str) -> None:
    for path in (ROOT / folder).glob("**/*.py"):
        name = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called != "print" or name in PRINTERS, f"{name}:{node.lineno} prints"
            # Consoles of rich's own read markup and pass control characters on.
            assert called not in ("Console", "rich.print"), f"{name}:{node.lineno}"
