"""Progress of a long step: a bar on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

logger = logging.getLogger(__name__)

LOG_EVERY_S = 10.0
"""Seconds between two log lines, unless a display has its own."""


class ProgressDisplay:
    """Shows one step at a time. Use it as a context manager and call it with each progress.

    Example:
        >>> with ProgressDisplay(console, "tasks") as progress:
        ...     progress("profiles", 3, 32)
    """

    def __init__(self, console: Console, unit: str, *, log_every_s: float = LOG_EVERY_S) -> None:
        """Create a display.

        Args:
            console: Where the bar is shown. Log handlers have to print to the same console.
            unit: What is counted, such as `tasks`. `bytes` shows sizes and the time that remains.
            log_every_s: Seconds between two log lines where there is no terminal.
        """
        self._console = console
        self._unit = unit
        self._log_every_s = log_every_s
        self._logged_at = time.monotonic()
        self._bar: Progress | None = None
        self._step: str | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar = _create_bar(self._console, self._unit)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(
        self,
        step: str,
        completed: int,
        total: int | None,
        *,
        description: str | None = None,
        log_line: str | None = None,
    ) -> None:
        """Show how far a step is.

        Args:
            step: The name of the step. A new name replaces the bar of the step before.
            completed: How many units are done.
            total: How many units there are; None if that is unknown.
            description: Text beside the bar; the step's name if None.
            log_line: Text of a log line; "STEP: COMPLETED of TOTAL UNIT" if None.
        """
        if self._bar:
            self._update_bar(self._bar, step, completed, total, description or step)
        elif time.monotonic() - self._logged_at > self._log_every_s:
            self._logged_at = time.monotonic()
            logger.info(
                "%s",
                log_line or f"{step}: {completed} of {total} {self._unit}",
                extra={"event": "progress", "step": step, "completed": completed, "total": total},
            )

    def _update_bar(
        self, bar: Progress, step: str, completed: int, total: int | None, description: str
    ) -> None:
        if step != self._step:
            if self._task is not None:
                bar.remove_task(self._task)
            self._step = step
            self._task = bar.add_task(description, total=total)
        if self._task is not None:
            bar.update(self._task, completed=completed, description=description)


def _create_bar(console: Console, unit: str) -> Progress:
    # Imported only on a terminal: rich takes a tenth of a second.
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    if unit == "bytes":
        counts = [DownloadColumn(), TimeRemainingColumn()]
    else:
        counts = [MofNCompleteColumn(), TextColumn(unit, markup=False), TimeElapsedColumn()]
    # A description may name a file, whose brackets are not markup.
    description = TextColumn("  {task.description}", markup=False)
    return Progress(description, BarColumn(), *counts, console=console, transient=True)
