"""The filters of the page, and the searches that they become for each index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from customer_profiles.contracts.limits import MAX_SEARCHED_CHARACTERS
from customer_profiles.dashboards.panels import Panel
from customer_profiles.dashboards.searches import panel_search
from customer_profiles.profiles.event_counts import OTHER

SHOWN_LENGTH = 60
"""Characters of a foreign text in a message."""


class InvalidFilterError(ValueError):
    """A filter has an unknown name or a malformed value."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What the page shows. A filter that is None matches everything.

    In profiles, `category` and `brand` are the customer's favorites, and the days find every
    customer with an event on one of them. In events, all of them are the event's own, except
    `segment`, which is the customer's current one.
    """

    segment: str | None = None
    category: str | None = None
    """The top level of a category, or `(none)`."""
    brand: str | None = None
    """A brand, or `(none)`."""
    since: date | None = None
    until: date | None = None
    """Inclusive."""

    @classmethod
    def from_query(cls, parameters: Iterable[tuple[str, str]]) -> Filters:
        """Read the query parameters of an address. Empty ones count as unset.

        Args:
            parameters: names and values.

        Raises:
            InvalidFilterError: a name is unknown or there twice, a text is longer than any that can
                be found, or a day is malformed.
        """
        values: dict[str, str] = {}
        for name, value in parameters:
            if name not in ("segment", "category", "brand", "since", "until"):
                raise InvalidFilterError(f"there is no filter {shorten(name)}")
            if name in values:
                raise InvalidFilterError(f"{name} is there twice; name one value")
            values[name] = value
        texts = {name: _text(values, name) for name in ("segment", "category", "brand")}
        return cls(**texts, since=_day(values, "since"), until=_day(values, "until"))

    def clauses(self, panel: Panel) -> list[dict[str, Any]]:
        """Return the filters as clauses of a panel's search, in Elasticsearch's query language."""
        clauses = self.field_clauses() if panel.follows_filters else []
        limits = {
            "gte": self.since and self.since.isoformat(),
            # Rounded up to the end of the day.
            "lte": self.until and f"{self.until.isoformat()}||/d",
        }
        time_range = {name: limit for name, limit in limits.items() if limit}
        if time_range and panel.follows_time:
            clauses.append({"range": {panel.time_field: time_range}})
        return clauses

    def field_clauses(self) -> list[dict[str, Any]]:
        """Return the filters but the time range, which are the same for every index."""
        values = {"customer_segment": self.segment, "category": self.category, "brand": self.brand}
        return [{"term": {name: value}} for name, value in values.items() if value]


def search_body(panel: Panel, filters: Filters) -> dict[str, Any]:
    """Return the body of a panel's search under filters."""
    body = panel_search(panel)
    own_clauses = body["query"]["bool"]["filter"]
    return {**body, "query": {"bool": {"filter": [*own_clauses, *filters.clauses(panel)]}}}


CHOICES: dict[str, Any] = {
    "size": 0,
    "query": {"term": {"granularity": "day"}},
    "aggs": {
        **{
            name: {"terms": {"field": field, "size": 100, "order": {"_key": "asc"}}}
            for name, field in (
                ("segment", "customer_segment"),
                ("category", "category"),
                ("brand", "brand"),
            )
        },
        "first": {"min": {"field": "time", "format": "yyyy-MM-dd"}},
        "last": {"max": {"field": "time", "format": "yyyy-MM-dd"}},
    },
}
"""The search in `event_metrics` for the values that filters can have."""


def read_choices(response: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that filters can have, from the response to `CHOICES`.

    "(other)", which an index of an older version has, is left out: it stands for many brands at
    once, and no profile has it.

    Returns:
        `segment`, `category` and `brand` as lists; `first` and `last` as days or None.
    """
    results = response["aggregations"]
    lists = {
        name: [bucket["key"] for bucket in results[name]["buckets"] if bucket["key"] != OTHER]
        for name in ("segment", "category", "brand")
    }
    days = {name: results[name].get("value_as_string") for name in ("first", "last")}
    return {**lists, **days}


def no_choices() -> dict[str, Any]:
    """Return what `read_choices` does, for an index that does not exist yet."""
    return {"segment": [], "category": [], "brand": [], "first": None, "last": None}


def shorten(text: str) -> str:
    """Return the beginning of a foreign text, for a message."""
    return text if len(text) <= SHOWN_LENGTH else f"{text[:SHOWN_LENGTH]}…"


def _text(parameters: Mapping[str, str], name: str) -> str | None:
    text = parameters.get(name) or None
    length = len((text or "").encode("utf-16-le", "surrogatepass")) // 2
    if length > MAX_SEARCHED_CHARACTERS:
        raise InvalidFilterError(
            f"{name} has {length:,} characters; a filter finds texts of at most "
            f"{MAX_SEARCHED_CHARACTERS:,}"
        )
    return text


def _day(parameters: Mapping[str, str], name: str) -> date | None:
    text = parameters.get(name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise InvalidFilterError(
            f"{name}={shorten(str(text))} is no day; write it as 2020-09-24"
        ) from error
