"""What is sent to Elasticsearch."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.errors import ProcessError
from processing.index import TEMPLATE, Index, Target, iso_8601, to_ndjson
from processing.profiles import PROFILE_SCHEMA, build_profiles
from processing.segments import read_segments
from processing.settings import Settings
from tests.support import event, events


def test_a_bulk_request_holds_whole_profiles_by_user_id() -> None:
    rows = events(event(), event(event_type="purchase", price=Decimal("11.86"), brand='a"b'), event(user_id="8"))
    profiles = build_profiles(rows, read_segments(), datetime(2026, 1, 1, 12, tzinfo=UTC))
    lines = [json.loads(line) for line in to_ndjson(profiles, 3).splitlines()]
    assert lines[0] == {"index": {"_id": "7", "version": 3, "version_type": "external_gte"}}
    assert set(lines[1]) == set(PROFILE_SCHEMA)
    assert (lines[1]["total_revenue"], lines[1]["favorite_brand"]) == (11.86, 'a"b')
    assert lines[1]["profile_generated_at"] == "2026-01-01T12:00:00Z"
    assert lines[2]["index"]["_id"] == "8"
    assert lines[3]["avg_order_value"] is None


@given(
    st.lists(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(lambda at: at.replace(microsecond=0))),
    st.lists(st.datetimes()),
    st.integers(1, 3),
)
def test_moments_are_written_as_iso_8601(whole: list[datetime], fine: list[datetime], times: int) -> None:
    for moments in (whole, whole[:1] * times, [*whole, None], whole + fine, fine[:1] * times):
        found = iso_8601(pl.Series("at", moments, dtype=pl.Datetime("us")).dt.replace_time_zone("UTC"))
        assert found.name == "at"
        for text, at in zip(found, moments, strict=True):
            if at is None or not at.microsecond:
                assert text == (at and f"{at.isoformat()}Z")
            else:
                assert datetime.fromisoformat(text) == at.replace(tzinfo=UTC)


def test_the_mapping_names_every_field_and_refuses_others() -> None:
    mappings = TEMPLATE["template"]["mappings"]
    assert list(mappings["properties"]) == list(PROFILE_SCHEMA)
    assert mappings["dynamic"] == "strict"
    kinds = {name: field["type"] for name, field in mappings["properties"].items()}
    assert kinds["user_id"] == kinds["customer_segment"] == "keyword"
    assert kinds["total_revenue"] == kinds["conversion_rate"] == "double"
    assert kinds["first_seen"] == "date"
    assert kinds["total_events"] == "long"


def refusal(status: int, kind: str) -> dict[str, Any]:
    return {"errors": True, "items": [{"index": {"status": status, "error": {"type": kind, "reason": kind}}}]}


DONE = {"errors": False}
BUSY = refusal(429, "es_rejected_execution_exception")


@pytest.mark.parametrize(
    ("answers", "words", "pauses"),
    [
        ([DONE], None, []),
        ([refusal(409, "version_conflict_engine_exception")], None, []),
        ([BUSY, BUSY, BUSY, DONE], None, [0.5, 1, 2]),
        ([BUSY] * 99, "es_rejected", [0.5, 1, 2, 4, 8, 8, 8, 8, 8, 8, 8]),
        ([refusal(429, "cluster_block_exception")], "cluster_block", []),
        ([refusal(403, "cluster_block_exception")], "cluster_block", []),
        ([BUSY, refusal(400, "strict_dynamic_mapping_exception")], "strict_dynamic", [0.5]),
    ],
)
def test_what_became_of_each_document_decides(
    monkeypatch: pytest.MonkeyPatch, answers: list[dict[str, Any]], words: str | None, pauses: list[float]
) -> None:
    """Busy is asked again, more and more slowly; every other refusal stops with the index's name and the reason."""
    left = list(answers)
    slept: list[float] = []
    index = Index(Settings.from_env({"MINIO_ROOT_USER": "u", "MINIO_ROOT_PASSWORD": "p"}))

    def answer(_: str, path: str, **__: Any) -> SimpleNamespace:
        if path.endswith("filter_path=errors") and left[0]["errors"]:
            return SimpleNamespace(body={"errors": True})
        return SimpleNamespace(body=left.pop(0))

    monkeypatch.setattr(index, "client", SimpleNamespace(perform_request=answer))
    monkeypatch.setattr("processing.index.time.sleep", slept.append)
    profiles = build_profiles(events(event()), read_segments(), datetime(2026, 1, 1, tzinfo=UTC))
    put = partial(index.put, Target("customer_profiles-000007", "u"), profiles, 1)
    if words:
        with pytest.raises(ProcessError, match=rf"(?s)customer_profiles-000007: {words}.*catches up"):
            put()
    else:
        put()
    assert slept == pauses


def test_readers_may_look_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, dict[str, Any]] = {}

    def noting(call: str) -> Any:
        return lambda **given: said.update({call: given})

    security = SimpleNamespace(**{call: noting(call) for call in ("put_role", "put_user", "change_password")})
    keys = {"MINIO_ROOT_USER": "a", "MINIO_ROOT_PASSWORD": "b"}
    settings = Settings.from_env(keys)
    index = Index(settings)
    monkeypatch.setattr(index, "client", SimpleNamespace(security=security))
    # The native stack has no accounts.
    assert index.set_accounts(settings) == []
    assert said == {}

    settings = Settings.from_env({**keys, "ELASTIC_READER_PASSWORD": "r", "KIBANA_PASSWORD": "k"})
    assert index.set_accounts(settings) == ["profiles-reader", "kibana_system"]
    (granted,) = said["put_role"]["indices"]
    assert set(granted["privileges"]) == {"read", "view_index_metadata", "monitor"}
    assert said["put_role"]["cluster"] == ["monitor"]
    assert (said["put_user"]["username"], said["put_user"]["roles"]) == ("profiles-reader", [said["put_role"]["name"]])
    assert said["change_password"]["username"] == "kibana_system"
