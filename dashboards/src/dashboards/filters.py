"""What the filters of the page mean for each index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from dashboards.panels import Panel
from processing.charts import OTHER
from processing.metrics import NONE


class BadFilter(ValueError):
    """A filter that means nothing."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What to look at; None for everything.

    Of profiles, `category` and `brand` are the favourites, and the range of time is that of the last
    event. Of events, they are their own, and `segment` is the customer's of now.
    """

    segment: str | None = None
    category: str | None = None
    brand: str | None = None
    since: date | None = None
    until: date | None = None
    """Inclusive."""

    @classmethod
    def from_query(cls, given: Mapping[str, str]) -> Filters:
        """Read the parameters of an address.

        Raises:
            BadFilter: an unknown name, or a day that is none.
        """
        unknown = set(given) - {"segment", "category", "brand", "since", "until"}
        if unknown:
            raise BadFilter(f"there is no filter {', '.join(sorted(unknown))}")

        def day(name: str) -> date | None:
            try:
                return date.fromisoformat(given[name]) if given.get(name) else None
            except ValueError as error:
                raise BadFilter(f"{name}={given[name]} is no day; write it as 2020-09-24") from error

        texts = {name: given.get(name) or None for name in ("segment", "category", "brand")}
        return cls(**texts, since=day("since"), until=day("until"))

    def clauses(self, panel: Panel) -> list[dict[str, Any]]:
        """The filters of a search for one panel."""
        if panel.time_field is None:
            return []
        found: list[dict[str, Any]] = []
        if self.segment:
            found.append({"term": {"customer_segment": self.segment}})
        if panel.index == "customer_profiles":
            if self.category:
                found.append(
                    _favorite(
                        "favorite_category", self.category, [{"prefix": {"favorite_category": f"{self.category}."}}]
                    )
                )
            if self.brand:
                found.append(_favorite("favorite_brand", self.brand, []))
        else:
            found += [{"term": {name: value}} for name in ("category", "brand") if (value := getattr(self, name))]
        limits = {"gte": self.since and self.since.isoformat(), "lte": self.until and f"{self.until.isoformat()}||/d"}
        span = {name: limit for name, limit in limits.items() if limit}
        if span:
            found.append({"range": {panel.time_field: span}})
        return found


def search(panel: Panel, filters: Filters) -> dict[str, Any]:
    """The search of a panel under filters."""
    body = dict(panel.body)
    own = body["query"]["bool"]["filter"]
    return {**body, "query": {"bool": {"filter": [*own, *filters.clauses(panel)]}}}


def _favorite(field: str, value: str, more: list[dict[str, Any]]) -> dict[str, Any]:
    if value == NONE:
        return {"bool": {"must_not": {"exists": {"field": field}}}}
    return {"bool": {"should": [{"term": {field: value}}, *more], "minimum_should_match": 1}}


CHOICES: dict[str, Any] = {
    "size": 0,
    "query": {"term": {"granularity": "day"}},
    "aggs": {
        **{
            name: {"terms": {"field": field, "size": 100, "order": {"_key": "asc"}}}
            for name, field in (("segment", "customer_segment"), ("category", "category"), ("brand", "brand"))
        },
        "first": {"min": {"field": "time", "format": "yyyy-MM-dd"}},
        "last": {"max": {"field": "time", "format": "yyyy-MM-dd"}},
    },
}
"""Search in `event_metrics` for what filters can be set to."""


def choices(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What filters can be set to; all other brands as one have no profiles, so they are none."""
    found = answer["aggregations"]
    names = ("segment", "category", "brand")
    lists = {name: [entry["key"] for entry in found[name]["buckets"] if entry["key"] != OTHER] for name in names}
    return {**lists, **{name: found[name].get("value_as_string") for name in ("first", "last")}}
