"""The index template."""

from __future__ import annotations

from customer_profiles.profiles.schema import PROFILE_SCHEMA
from customer_profiles.search.mapping import TEMPLATE


def test_the_mapping_lists_every_field_and_refuses_others() -> None:
    mappings = TEMPLATE["template"]["mappings"]
    assert list(mappings["properties"]) == list(PROFILE_SCHEMA)
    assert mappings["dynamic"] == "strict"
    types = {name: field["type"] for name, field in mappings["properties"].items()}
    assert types["user_id"] == types["customer_segment"] == "keyword"
    assert types["total_revenue"] == types["conversion_rate"] == "double"
    assert types["first_seen"] == "date"
    assert types["total_events"] == "long"


def test_frequently_searched_fields_are_indexed() -> None:
    properties = TEMPLATE["template"]["mappings"]["properties"]
    assert {name for name, field in properties.items() if "index" not in field} == {
        "user_id",
        "customer_segment",
        "favorite_category",
        "favorite_brand",
        "total_events",
        "total_purchases",
        "total_revenue",
        "first_seen",
        "last_seen",
    }
