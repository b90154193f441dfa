"""The index `alerts` follows the lake, whoever evaluates and whatever is killed or comes late."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from customer_profiles.monitoring.alerts.evaluate import (
    Evaluation,
    evaluate,
    post_to_alertmanager,
)
from customer_profiles.monitoring.alerts.index import write_states
from customer_profiles.monitoring.alerts.model import Alert, Severity
from customer_profiles.monitoring.alerts.notifier import Policy
from customer_profiles.monitoring.alerts.store import NotifierStore
from tests.support import MemoryObjectStore

pytestmark = pytest.mark.unit
BEGIN = datetime(2026, 11, 29, 7, 0, 0, 250_000, tzinfo=UTC)
VOLUME = Alert("raw_events|volume", "DataQuality", Severity.CRITICAL, "half is missing", "make x")
DISK = Alert("component|disk", "DiskFull", Severity.WARNING, "disk: 0.1 GB free", "make room")
POLICY = Policy(repeat=timedelta(hours=4), group=timedelta(minutes=5))


class MemoryIndex:
    """Documents by period; an older version than the one that is there is refused."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], dict[str, Any]] = {}

    def ensure(self) -> None:
        pass

    def write(self, documents: Iterable[Mapping[str, Any]]) -> None:
        for document in documents:
            key = document["fingerprint"], document["since"]
            before = self.documents.get(key)
            if before is None or _version(document) >= _version(before):
                self.documents[key] = dict(document)

    def unresolved(self) -> list[dict[str, Any]]:
        return [each for each in self.documents.values() if each["state"] != "resolved"]


def _version(document: Mapping[str, Any]) -> datetime:
    newest = max(document["time"], document["until"] or document["time"])
    return datetime.fromisoformat(newest)


class Inbox:
    def send(self, *_: str) -> bool:
        return True


class Nobody:
    def post(self, *_: object) -> None:
        pass


class Watch:
    """Several notifiers on one lake and one index, with a clock that the test moves."""

    def __init__(self, tmp_path: Path) -> None:
        self.index = MemoryIndex()
        self.now = BEGIN
        self._lake = MemoryObjectStore()
        self._reports = tmp_path

    def store(self, name: str = "one") -> NotifierStore:
        return NotifierStore(self._lake, self._reports / name)

    def evaluate(self, *alerts: Alert, name: str = "one") -> Evaluation:
        return evaluate(self.store(name), alerts, Inbox(), POLICY, lambda: self.now)

    def write(self, evaluation: Evaluation, name: str = "one") -> None:
        write_states(self.index, self.store(name), evaluation, self.now)

    def look(self, *alerts: Alert, name: str = "one", after: float = 1) -> None:
        self.now += timedelta(minutes=after)
        self.write(self.evaluate(*alerts, name=name), name)

    @property
    def firing(self) -> list[str]:
        return [each["fingerprint"] for each in self.index.unresolved()]


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(tmp_path)


def test_an_alert_that_begins_between_two_messages_has_one_period(watch: Watch) -> None:
    watch.look(VOLUME)
    watch.look(VOLUME, DISK)
    watch.look(VOLUME, DISK)
    assert len(watch.index.documents) == 2
    watch.look(after=10)
    watch.look(after=10)
    assert watch.firing == []


def test_an_end_that_nobody_wrote_is_written_by_the_next(watch: Watch) -> None:
    watch.look(VOLUME)
    watch.now += timedelta(minutes=10)
    watch.evaluate()
    # Its process is killed here, before it writes to the index.
    assert watch.firing == [VOLUME.fingerprint]
    watch.look(DISK)
    assert watch.firing == [DISK.fingerprint]


def test_a_notifier_that_comes_late_does_not_bring_an_alert_back(watch: Watch) -> None:
    watch.look(DISK)
    watch.now += timedelta(minutes=1)
    late = watch.evaluate(DISK, VOLUME, name="late")
    watch.look(DISK, name="other", after=0)
    watch.write(late, "late")
    watch.look(DISK)
    assert watch.firing == [DISK.fingerprint]


def test_an_alert_of_another_notifier_is_ended_by_one_that_posts_to_alertmanager(
    watch: Watch,
) -> None:
    watch.look(DISK)
    watch.look(DISK, VOLUME)
    client: Any = Nobody()
    watch.now += timedelta(minutes=1)
    evaluation = post_to_alertmanager(watch.store(), [], client, lambda: watch.now)
    watch.write(evaluation)
    assert watch.firing == []


@pytest.mark.parametrize("seed", range(10))
def test_whatever_two_notifiers_do_nothing_fires_for_ever(watch: Watch, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    waiting: list[tuple[Evaluation, str]] = []
    for _ in range(60):
        watch.now += timedelta(seconds=rng.choice((0, 0.4, 30, 400)))
        name = rng.choice(("one", "two"))
        alerts = [alert for alert in (VOLUME, DISK) if rng.random() < 0.5]
        waiting.append((watch.evaluate(*alerts, name=name), name))
        rng.shuffle(waiting)
        while waiting and rng.random() < 0.6:
            evaluation, writer = waiting.pop()
            # One of ten is killed before it writes.
            if rng.random() < 0.9:
                watch.write(evaluation, writer)
    for evaluation, writer in waiting:
        watch.write(evaluation, writer)
    watch.look(after=10)
    watch.look(after=10)
    assert watch.firing == []
