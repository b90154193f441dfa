"""The peak memory of a stack and of the commands that run on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_S = 0.5


@dataclass(slots=True)
class PeakMemory:
    """The most memory, in MB, that all processes had at once."""

    total: float = 0.0
    anonymous: float = 0.0
    """Without mapped files, whose memory the system can take back at any time."""


@contextmanager
def watch_memory(stack_home: str, interval_s: float = SAMPLE_S) -> Iterator[PeakMemory]:
    """Sample the memory of every process of a stack until the block ends.

    Args:
        stack_home: the `STACK_HOME` of the stack. Its processes have it in their environment.
        interval_s: the time between two samples. Sampling takes processor time itself.

    Yields:
        The peak, which is updated with every sample.
    """
    peak, finished = PeakMemory(), threading.Event()

    def sample() -> None:
        while not finished.wait(interval_s):
            total, anonymous = _memory_mb(stack_home)
            peak.total = max(peak.total, total)
            peak.anonymous = max(peak.anonymous, anonymous)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        finished.set()
        thread.join()


def _memory_mb(stack_home: str) -> tuple[float, float]:
    """Return the total and the anonymous memory of a stack's processes.

    It counts proportional set sizes, so memory that processes share counts once.
    """
    total = anonymous = 0.0
    for process in psutil.process_iter():
        try:
            if process.environ().get("STACK_HOME") != stack_home:
                continue
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except (psutil.Error, OSError):
            continue
        sizes = {line.split(":")[0]: line.split()[1] for line in rollup.splitlines()[1:]}
        total += int(sizes["Pss"]) / 1024
        anonymous += int(sizes["Pss_Anon"]) / 1024
    return total, anonymous
