"""What people and programs see of an explanation."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from customer_profiles.common.console import create_console
from customer_profiles.governance.customers import read_customer
from customer_profiles.governance.explain import deduplicate, explain
from customer_profiles.governance.render import print_customer, print_explanation, to_json
from customer_profiles.processing.batch import process
from customer_profiles.profiles.segments import read_segments
from tests.unit.processing.fakes import Pipeline, message, user_in

CUSTOMER = user_in(0)


def test_an_explanation_shows_each_event_with_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = Pipeline(monkeypatch, tmp_path)
    purchase = message(CUSTOMER, event_type="purchase", price="10.50", source_row=7)
    pipeline.topics.produce(purchase, purchase)
    process(pipeline.context())
    customer = read_customer(pipeline.store, CUSTOMER)
    events, duplicates = deduplicate(customer.events)
    explanation = explain("total_revenue", events, read_segments())

    print_customer(customer, duplicates, create_console())
    print_explanation(explanation, create_console())
    lines = capsys.readouterr().out.splitlines()
    place = "2020-09-24T11:57:06Z  purchase       10.5000  f.csv:7  raw_events 0:"
    assert f"  {place}1  batch 1" in lines
    assert f"      +10.5000  {place}0  batch 1" in lines
    assert "        10.5000  together" in lines

    content = json.loads(json.dumps(to_json(customer, duplicates, [explanation], [])))
    (field,) = content["fields"]
    assert (field["value"], field["equals_profile"]) == ("10.50", True)
    assert [event["adds"] for event in field["events"]] == ["10.5000"]
    assert [event["kafka_offset"] for event in content["duplicates"]] == [1]


def test_events_without_a_source_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    event = {"event_time": None, "event_type": "view", "price": Decimal(1), "adds": None}
    place = {"source": None, "source_row": None, "kafka_partition": 0, "kafka_offset": 3}
    frame = pl.DataFrame([{**event, **place, "first_batch": 1, "last_batch": 4}])
    explanation = explain("customer_segment", _none(), read_segments())
    print_explanation(type(explanation)("first_seen", None, "the time", frame), create_console())
    assert "-:-  raw_events 0:3  batch 1-4" in capsys.readouterr().out


def _none() -> pl.DataFrame:
    from tests.unit.governance.test_explain import stored  # noqa: PLC0415

    return stored({})
