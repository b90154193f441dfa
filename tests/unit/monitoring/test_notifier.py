"""What people are told, and when."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from customer_profiles.lake.errors import LakeUnavailableError
from customer_profiles.lake.object_store import StoredObject
from customer_profiles.monitoring.alerts import notifier
from customer_profiles.monitoring.alerts.evaluate import Evaluation, evaluate
from customer_profiles.monitoring.alerts.model import Alert, NotifierState, Severity
from customer_profiles.monitoring.alerts.notifier import Policy
from customer_profiles.monitoring.alerts.store import ALERTS, NotifierStore
from tests.support import MemoryObjectStore

BEGIN = datetime(2026, 11, 29, 7, tzinfo=UTC)
VOLUME = Alert("raw_events|volume", "DataQuality", Severity.CRITICAL, "half is missing", "make x")
BRAND = Alert("raw_events|null|brand", "DataQuality", Severity.WARNING, "60 % null", "make y")
DISK = Alert("component|disk", "DiskFull", Severity.WARNING, "disk: 0.1 GB free", "make room")
POLICY = Policy(repeat=timedelta(hours=4), group=timedelta(minutes=5))


class Inbox:
    """Takes messages, or refuses them."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.works = True

    def send(self, title: str, body: str) -> bool:
        if self.works:
            self.messages.append((title, body))
        return self.works


class Notifier:
    """A notifier whose clock the test moves."""

    def __init__(self, tmp_path: Path) -> None:
        self.lake = MemoryObjectStore()
        self.store = NotifierStore(self.lake, tmp_path)
        self.inbox = Inbox()
        self.now = BEGIN

    def after(self, minutes: float, *alerts: Alert) -> Evaluation:
        self.now += timedelta(minutes=minutes)
        return evaluate(self.store, alerts, self.inbox, POLICY, lambda: self.now)

    @property
    def titles(self) -> list[str]:
        return [title for title, _ in self.inbox.messages]


@pytest.fixture
def people(tmp_path: Path) -> Notifier:
    return Notifier(tmp_path)


def test_fifty_repeats_are_one_message_and_one_when_it_is_over(people: Notifier) -> None:
    for _ in range(50):
        people.after(1, VOLUME)
    assert people.titles == ["Customer profiles: DataQuality"]
    for _ in range(50):
        people.after(1)
    assert people.titles[1:] == ["Customer profiles: 1 over alert"]
    assert people.store.read().alerts == ()


def test_what_begins_together_is_one_message_the_worst_first(people: Notifier) -> None:
    people.after(0, BRAND, VOLUME, DISK)
    ((title, body),) = people.inbox.messages
    assert title == "Customer profiles: 3 new alerts"
    assert body.index("half is missing") < body.index("60 % null")
    assert all(text in body for text in ("make x", "make y", "make room", "Since 2026-11-29 07:00"))


def test_messages_are_apart_and_lose_nothing(people: Notifier) -> None:
    people.after(0, VOLUME)
    people.after(1, VOLUME, BRAND)
    people.after(1, VOLUME, BRAND, DISK)
    assert len(people.titles) == 1
    people.after(4, VOLUME, BRAND, DISK)
    assert people.titles[1:] == ["Customer profiles: 2 new alerts"]


def test_an_alert_that_lasts_is_told_again_after_the_repeat_interval(people: Notifier) -> None:
    people.after(0, VOLUME)
    people.after(239, VOLUME)
    assert len(people.titles) == 1
    people.after(1, VOLUME)
    assert people.titles[1:] == ["Customer profiles: DataQuality (still)"]


def test_an_alert_that_flickers_is_one_alert(people: Notifier) -> None:
    for minute in range(20):
        people.after(0.2, *([VOLUME] if minute % 2 == 0 else []))
    assert people.titles == ["Customer profiles: DataQuality"]


def test_an_alert_that_was_over_before_anybody_was_told_is_never_told(people: Notifier) -> None:
    people.after(0, DISK)
    people.after(1, DISK, VOLUME)
    evaluation = people.after(1, DISK)
    assert [known.alert for known in evaluation.gone] == [VOLUME]
    people.after(60, DISK)
    assert len(people.titles) == 1


def test_a_silenced_alert_is_not_told_until_the_silence_ends(people: Notifier) -> None:
    until = BEGIN + timedelta(hours=1)
    people.store.change(lambda state: notifier.silenced(state, "raw_events|*", until))
    people.after(0, VOLUME, BRAND)
    assert people.titles == []
    people.after(10, VOLUME, DISK)
    assert people.titles == ["Customer profiles: DiskFull"]
    people.after(50, VOLUME, DISK)
    assert people.titles[1:] == ["Customer profiles: DataQuality"]
    assert people.store.read().silences == ()


@pytest.mark.parametrize("pattern", [VOLUME.fingerprint, VOLUME.name, "raw_*"])
def test_a_silence_names_a_fingerprint_a_name_or_a_beginning(pattern: str) -> None:
    state = notifier.silenced(NotifierState(), pattern, BEGIN + timedelta(hours=1))
    assert notifier.is_silenced(VOLUME, state.silences, BEGIN)
    assert not notifier.is_silenced(DISK, state.silences, BEGIN)
    assert notifier.unsilenced(state, pattern).silences == ()


def test_a_message_that_was_not_delivered_is_sent_by_the_next_evaluation(people: Notifier) -> None:
    people.inbox.works = False
    assert people.after(0, VOLUME).delivered is False
    people.inbox.works = True
    assert people.after(1, VOLUME).delivered is True
    assert people.titles == ["Customer profiles: DataQuality"]


def test_two_processes_send_a_message_once(people: Notifier) -> None:
    class Other(Inbox):
        def send(self, title: str, body: str) -> bool:
            # While the first process sends, a second one evaluates.
            evaluate(people.store, [VOLUME], people.inbox, POLICY, lambda: BEGIN)
            return super().send(title, body)

    inbox = Other()
    evaluate(people.store, [VOLUME], inbox, POLICY, lambda: BEGIN)
    assert (len(inbox.messages), people.titles) == (1, [])


def test_a_process_that_died_while_it_sent_is_made_up_for(people: Notifier) -> None:
    class Dies(Inbox):
        def send(self, *_: str) -> bool:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(people.store, [VOLUME], Dies(), POLICY, lambda: BEGIN)
    people.after(1, VOLUME)
    assert people.titles == []
    people.after(1, VOLUME)
    assert people.titles == ["Customer profiles: DataQuality"]


def test_nobody_to_tell_remembers_all_the_same(tmp_path: Path) -> None:
    people = Notifier(tmp_path)
    for minute, alerts in ((0, [VOLUME]), (6, [VOLUME]), (12, [])):
        now = BEGIN + timedelta(minutes=minute)
        found = evaluate(people.store, alerts, None, POLICY, lambda now=now: now)
    assert [known.over for known in found.message.over] == [BEGIN + timedelta(minutes=12)]


def test_the_state_is_read_as_it_was_written(people: Notifier) -> None:
    people.after(0, replace(VOLUME, labels={"source": "x"}, details={"value": 1.5}), BRAND)
    people.store.change(lambda state: notifier.silenced(state, "x", BEGIN + timedelta(days=1)))
    state = people.store.read()
    assert NotifierState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_damaged_state_is_made_anew(people: Notifier) -> None:
    people.after(0, VOLUME)
    people.lake.objects[ALERTS] = b"{}"
    people.lake.attributes[ALERTS] = {}
    people.after(10, VOLUME)
    assert len(people.titles) == 2


class AwayLake(MemoryObjectStore):
    """A lake that can go away."""

    away = False

    def _get(self, name: str) -> StoredObject | None:
        if self.away:
            raise LakeUnavailableError("MinIO does not answer.")
        return super()._get(name)


def test_people_are_told_that_the_lake_is_away_and_nothing_twice(people: Notifier) -> None:
    lake = AwayLake()
    people.lake = lake
    people.store = NotifierStore(lake, people.store._copy.parent)
    people.after(0, VOLUME)
    lake.away = True
    minio = Alert("component|minio", "ServerDown", Severity.CRITICAL, "minio: away.", "make up")
    people.after(10, VOLUME, minio)
    people.after(10, VOLUME, minio)
    assert people.titles[1:] == ["Customer profiles: ServerDown"]
    lake.away = False
    people.after(10, VOLUME)
    people.after(10, VOLUME)
    assert people.titles[2:] == ["Customer profiles: 1 over alert"]
    assert [known.alert for known in people.store.read().alerts] == [VOLUME]
