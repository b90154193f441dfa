"""The fields of the profile index, its settings and its alias."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from customer_profiles.contracts.limits import MAX_SEARCHED_CHARACTERS
from customer_profiles.profiles.schema import EVENT_DAYS, PROFILE_SCHEMA

ALIAS = "customer_profiles"
"""The alias of the index that readers see, the live index."""
EXPERIMENTS = "experiments"
"""The field with the published variants of a customer, by experiment. It is no part of the profile:
`make assign … PUBLISH=1` adds it, and whoever writes a profile from then on writes it, too."""
INDEX_PATTERN = f"{ALIAS}-*"
"""Matches all profile indices: `customer_profiles-000001` and so on."""
REFRESH = "10s"
"""How often new documents become visible to searches.

Each run makes all of its documents visible at its end. The default of one second would meanwhile
create small segments that have to be merged."""
REMEMBERED_DELETIONS = "0s"
"""How long an index refuses older versions of a document that was deleted (`index.gc_deletes`).

Nothing in the pipeline deletes a profile. If somebody else did, the document has to come back with
the version that it had, and the default of a minute would refuse it for so long."""
COMPLETE: dict[str, Any] = {"complete": True}
"""The `_meta` in the mapping of an index that readers may see: a filled one, or the first."""
THROUGH_BATCH = "through_batch"
"""The key in `_meta` with the newest micro-batch that a run has indexed."""

KEYWORD: dict[str, Any] = {"type": "keyword", "ignore_above": MAX_SEARCHED_CHARACTERS}
"""A field with one text that is compared as a whole.

A longer text remains in the document, and only its search entry is left out."""

_TYPES: dict[pl.DataType, str] = {pl.Int64(): "long", pl.Float64(): "double"}
_SEARCHED_OFTEN = frozenset(
    {
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
)
"""The fields with a search tree.

Elasticsearch searches the others by their columns. That takes some milliseconds for a million
profiles and saves a tenth of the work of indexing."""


def complete_meta(batch: int | None) -> dict[str, Any]:
    """Return the `_meta` of an index that has all profiles up to a batch; None if unknown."""
    return COMPLETE if batch is None else {**COMPLETE, THROUGH_BATCH: batch}


def _field(name: str, dtype: pl.DataType) -> dict[str, Any]:
    default = "date" if isinstance(dtype, pl.Datetime) else "double"
    mapping = KEYWORD if dtype == pl.String() else {"type": _TYPES.get(dtype, default)}
    return mapping if name in _SEARCHED_OFTEN else {**mapping, "index": False}


def keyword_updates(properties: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the keyword fields of an existing index that do not have the limit of `KEYWORD` yet.

    Args:
        properties: the fields in the mapping of the index.

    Returns:
        The fields with that limit, for a request that updates the mapping.
    """
    return {
        name: {**field, "ignore_above": MAX_SEARCHED_CHARACTERS}
        for name, field in properties.items()
        if field.get("type") == "keyword" and field.get("ignore_above") != MAX_SEARCHED_CHARACTERS
    }


FILTER_FIELDS: dict[str, dict[str, Any]] = {
    "category": KEYWORD,
    "brand": KEYWORD,
    # A range is found by the column: that takes milliseconds, and indexing stays as fast.
    EVENT_DAYS: {"type": "date", "index": False},
}
"""The fields of documents that profiles in the lake do not have.

`category` is the top level of `favorite_category`, and `brand` is `favorite_brand`. Both are
`event_counts.NONE` for a customer who has none, as in `event_metrics`. `event_days` has each day
with an event, as `event_metrics` has them in `time`. So one filter and one time range fit both
indices."""
TEMPLATE: dict[str, Any] = {
    "index_patterns": [INDEX_PATTERN],
    "template": {
        "settings": {
            "number_of_shards": 1,
            "number_of_replicas": 0,
            "refresh_interval": REFRESH,
            "gc_deletes": REMEMBERED_DELETIONS,
        },
        "mappings": {
            # Refuse a field that is not described here, instead of guessing its type.
            "dynamic": "strict",
            # Nobody knows the names of experiments beforehand.
            "dynamic_templates": [
                {"variants": {"path_match": f"{EXPERIMENTS}.*", "mapping": KEYWORD}}
            ],
            "properties": {
                **{name: _field(name, dtype) for name, dtype in PROFILE_SCHEMA.items()},
                **FILTER_FIELDS,
                EXPERIMENTS: {"type": "object", "dynamic": True},
            },
        },
    },
}
"""The index template of all profile indices."""


def profile_updates(properties: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what an existing profile index lacks of the fields of this version.

    Args:
        properties: the fields in the mapping of the index.

    Returns:
        The fields, for a request that updates the mapping.
    """
    missing = {name: field for name, field in FILTER_FIELDS.items() if name not in properties}
    return {**keyword_updates(properties), **missing}


def setting_updates(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return what an existing profile index lacks of the settings of this version.

    Args:
        settings: its settings, as Elasticsearch returns them.

    Returns:
        The settings, for a request that updates them.
    """
    is_current = settings.get("index", {}).get("gc_deletes") == REMEMBERED_DELETIONS
    return {} if is_current else {"gc_deletes": REMEMBERED_DELETIONS}
