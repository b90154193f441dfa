"""What is sent to Elasticsearch."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

from processing.index import TEMPLATE, to_ndjson
from processing.profiles import PROFILE_SCHEMA, build_profiles
from processing.segments import read_segments
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


def test_the_mapping_names_every_field_and_refuses_others() -> None:
    mappings = TEMPLATE["template"]["mappings"]
    assert list(mappings["properties"]) == list(PROFILE_SCHEMA)
    assert mappings["dynamic"] == "strict"
    kinds = {name: field["type"] for name, field in mappings["properties"].items()}
    assert kinds["user_id"] == kinds["customer_segment"] == "keyword"
    assert kinds["total_revenue"] == kinds["conversion_rate"] == "double"
    assert kinds["first_seen"] == "date"
    assert kinds["total_events"] == "long"
