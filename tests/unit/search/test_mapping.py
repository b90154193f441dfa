"""The index template."""

from __future__ import annotations

from customer_profiles.contracts.limits import MAX_KEYWORD_BYTES, MAX_SEARCHED_CHARACTERS
from customer_profiles.profiles.schema import PROFILE_SCHEMA
from customer_profiles.search.mapping import (
    FILTER_FIELDS,
    TEMPLATE,
    keyword_updates,
    profile_updates,
    setting_updates,
)


def test_the_mapping_lists_every_field_and_refuses_others() -> None:
    mappings = TEMPLATE["template"]["mappings"]
    added = ["category", "brand", "event_days", "experiments"]
    assert list(mappings["properties"]) == [*PROFILE_SCHEMA, *added]
    assert mappings["dynamic"] == "strict"
    types = {name: field["type"] for name, field in mappings["properties"].items()}
    assert types["user_id"] == types["customer_segment"] == "keyword"
    assert types["total_revenue"] == types["conversion_rate"] == "double"
    assert types["first_seen"] == types["event_days"] == "date"
    assert types["total_events"] == "long"
    assert mappings["properties"]["experiments"] == {"type": "object", "dynamic": True}


def test_a_new_index_forgets_deletions_at_once() -> None:
    settings = TEMPLATE["template"]["settings"]
    assert settings["gc_deletes"] == "0s"
    assert setting_updates({"index": settings}) == {}
    assert setting_updates({"index": {}}) == {"gc_deletes": "0s"}


def test_frequently_searched_fields_are_indexed() -> None:
    properties = TEMPLATE["template"]["mappings"]["properties"]
    assert {name for name, field in properties.items() if "index" not in field} == {
        "experiments",
        "user_id",
        "customer_segment",
        "category",
        "brand",
        "favorite_category",
        "favorite_brand",
        "total_events",
        "total_purchases",
        "total_revenue",
        "first_seen",
        "last_seen",
    }


def test_no_text_is_too_long_for_a_keyword_field() -> None:
    """Elasticsearch refuses a keyword of more than 32,766 bytes; a character has up to four."""
    properties = TEMPLATE["template"]["mappings"]["properties"]
    limits = {
        field.get("ignore_above") for field in properties.values() if field["type"] == "keyword"
    }
    assert limits == {MAX_SEARCHED_CHARACTERS}
    assert 4 * MAX_SEARCHED_CHARACTERS <= MAX_KEYWORD_BYTES


def test_keyword_fields_of_an_older_index_are_updated_once() -> None:
    properties = {
        "brand": {"type": "keyword", "index": False},
        "reason": {"type": "keyword", "ignore_above": MAX_SEARCHED_CHARACTERS},
        "time": {"type": "date"},
    }
    updates = keyword_updates(properties)
    assert updates == {
        "brand": {"type": "keyword", "index": False, "ignore_above": MAX_SEARCHED_CHARACTERS}
    }
    assert keyword_updates({**properties, **updates}) == {}


def test_an_older_profile_index_gets_the_fields_of_filters_once() -> None:
    older = {
        name: field
        for name, field in TEMPLATE["template"]["mappings"]["properties"].items()
        if name not in FILTER_FIELDS
    }
    updates = profile_updates(older)
    assert set(updates) == {"category", "brand", "event_days"}
    assert profile_updates({**older, **updates}) == {}
