"""The data of the dashboards, from Elasticsearch and the lake."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import date
from typing import Any

import polars as pl
from elasticsearch import ApiError
from starlette.routing import Route

from customer_profiles.common.defaults import BUCKETS
from customer_profiles.contracts import bucket_of
from customer_profiles.dashboards.comparison import (
    DIMENSIONS,
    Periods,
    choose_periods,
    figure_search,
    movement_search,
    no_figure,
    read_figure,
    read_leader,
    read_movements,
)
from customer_profiles.dashboards.drawing import row_height, specification
from customer_profiles.dashboards.experiments import experiment_routes
from customer_profiles.dashboards.filters import (
    CHOICES,
    Filters,
    no_choices,
    read_choices,
    search_body,
)
from customer_profiles.dashboards.hints import empty_hint
from customer_profiles.dashboards.intervals import INTERVALS, add_span, has_days, with_interval
from customer_profiles.dashboards.panels import Panel, read_panels
from customer_profiles.dashboards.searches import panel_rows
from customer_profiles.dashboards.settings import Settings
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.events import EventPartition
from customer_profiles.lake.s3 import S3Config, S3ObjectStore
from customer_profiles.profiles.aggregate import deduplicate_events
from customer_profiles.search.client import ElasticsearchConfig, translate_errors
from customer_profiles.search.errors import IndexRefusedError
from customer_profiles.search.metrics_indices import EVENT_METRICS
from customer_profiles.search.profile_index import ProfileIndex

HISTORY_EVENTS = 200
"""Events in a customer's history, the newest ones."""

logger = logging.getLogger(__name__)


class TooManyBucketsError(IndexRefusedError):
    """A response would have more buckets than Elasticsearch sends."""


class MissingIndexError(IndexRefusedError):
    """Nothing has written the index yet."""


class Dashboard:
    """Answers the questions of the page and the report.

    Methods that ask Elasticsearch raise `IndexUnavailableError` if it does not answer and
    `IndexRefusedError` if it refuses. A chart whose index does not exist yet is empty.
    """

    def __init__(self, settings: Settings) -> None:
        self._elasticsearch = ElasticsearchConfig.from_settings(settings)
        self._profiles = ProfileIndex(self._elasticsearch)
        self._store = S3ObjectStore(S3Config.from_settings(settings))
        self._panels = {panel.name: panel for panel in read_panels()}

    def experiment_routes(self) -> list[Route]:
        """Return the routes that say which variant a customer gets."""
        return experiment_routes(self._store, self._profiles)

    def rows(self, panel: Panel, filters: Filters) -> list[Any]:
        """Return the data of one chart; none if nothing has written its index yet.

        A chart of days gets months or years if it has more days than Elasticsearch sends.
        """
        try:
            return self._rows_of_any_length(panel, filters)
        except MissingIndexError:
            return panel_rows(panel, None)

    def _rows_of_any_length(self, panel: Panel, filters: Filters) -> list[Any]:
        body = search_body(panel, filters)
        *finer, coarsest = INTERVALS if has_days(body) else INTERVALS[:1]
        for interval in finer:
            try:
                return self._rows(panel, body, interval)
            except TooManyBucketsError:
                logger.debug("%s has too many buckets by %s", panel.name, interval)
        return self._rows(panel, body, coarsest)

    def choices(self) -> dict[str, Any]:
        """Return the values that filters can have, as `read_choices` does."""
        try:
            return read_choices(self._search(EVENT_METRICS, CHOICES))
        except MissingIndexError:
            return no_choices()

    def panel(self, name: str) -> Panel | None:
        """Return a panel by its name."""
        return self._panels.get(name)

    def panels(self) -> list[dict[str, Any]]:
        """Return the charts without their data, as the page needs them."""
        return [
            {
                "name": panel.name,
                "title": panel.title,
                "about": panel.about,
                "dashboard": panel.dashboard,
                "width": panel.width,
                "chart": panel.chart,
                "decimals": panel.number.decimals if panel.measure else 0,
                "percent": bool(panel.measure and panel.number.percent),
                "whole": bool(panel.measure and panel.number.adds_up),
                "row_height": row_height(panel),
                "empty": empty_hint(panel),
                "spec": specification(panel, {}),
            }
            for panel in self._panels.values()
        ]

    def summary(self, filters: Filters) -> dict[str, Any]:
        """Return the key figures, and what changed from the period before.

        Returns:
            `figures`: `value` by panel, and `now`, `before` and `spark` if there is a period to
            compare with. `periods`: days as texts, or None. `movements` and `leader`: as
            `comparison` reads them.
        """
        figures = [panel for panel in self._panels.values() if panel.chart == "metric"]
        searches = [(panel.index, search_body(panel, filters)) for panel in figures]
        periods = self._periods(filters)
        if periods:
            clauses = filters.field_clauses()
            searches += [(panel.index, figure_search(panel, periods, clauses)) for panel in figures]
            searches.append((EVENT_METRICS, movement_search(periods, clauses)))
        responses = iter(self._search_all(searches))
        shown: dict[str, Any] = {
            panel.name: panel_rows(panel, next(responses))[0] for panel in figures
        }
        if periods is None:
            return {"figures": shown, "periods": None, "movements": [], "leader": None}
        for panel in figures:
            response = next(responses)
            shown[panel.name] |= read_figure(panel, response) if response else no_figure()
        moved = next(responses)
        if moved is None:
            raise MissingIndexError(f"Elasticsearch has no index {EVENT_METRICS} any more.")
        chosen = frozenset(name for name in DIMENSIONS if getattr(filters, name))
        days = {name: value.isoformat() for name, value in asdict(periods).items()}
        return {
            "figures": shown,
            "periods": {**days, "days": periods.days},
            "movements": read_movements(moved, chosen),
            "leader": None if filters.segment else read_leader(moved),
        }

    def _periods(self, filters: Filters) -> Periods | None:
        choices = self.choices()
        if not choices["first"]:
            return None
        first, last = (date.fromisoformat(choices[name]) for name in ("first", "last"))
        return choose_periods(filters.since, filters.until, first, last)

    def customer(self, user_id: str) -> dict[str, Any] | None:
        """Return a customer's profile and newest events, or None if there is no such customer.

        Returns:
            `profile` as Elasticsearch has it, `events` as rows of the history, the newest first,
            and `all_events`, how many distinct events the customer has.

        Raises:
            LakeUnavailableError: MinIO does not answer.
        """
        profile = self._profiles.get(user_id)
        if profile is None:
            return None
        events = self._events(user_id)
        newest = events.sort("event_time", "event_id", descending=True).head(HISTORY_EVENTS)
        history = newest.with_columns(
            pl.col("event_time").dt.strftime("%Y-%m-%d %H:%M:%S"), pl.col("price").cast(pl.Float64)
        ).drop("event_id", "user_id")
        return {"profile": profile, "events": history.to_dicts(), "all_events": events.height}

    def _events(self, user_id: str) -> pl.DataFrame:
        """Return all distinct events of a customer, from the lake."""
        batch_log = BatchLog(self._store)
        bucket = bucket_of(user_id, batch_log.buckets() or BUCKETS)
        partition = EventPartition(self._store, bucket)
        files = partition.live_files(batch_log.last_committed)
        events = partition.read_events(files, pl.Series("user_id", [user_id]))
        return deduplicate_events(events)

    def _rows(self, panel: Panel, body: dict[str, Any], interval: str) -> list[Any]:
        response = self._search(panel.index, with_interval(body, interval))
        if interval != INTERVALS[0]:
            add_span(body, response, interval)
        return panel_rows(panel, response)

    def _search(self, index: str, body: dict[str, Any]) -> dict[str, Any]:
        with translate_errors(self._elasticsearch.url):
            try:
                response: dict[str, Any] = self._profiles.client.search(index=index, body=body).body
            except ApiError as error:
                # Its status has changed between versions of Elasticsearch, so read the body.
                if "too_many_buckets_exception" in str(error.body):
                    raise TooManyBucketsError(
                        f"A chart from {index} has more values than Elasticsearch sends.\n"
                        "Show a shorter time range: set From and To on the page."
                    ) from error
                if "index_not_found_exception" in str(error.body):
                    raise MissingIndexError(f"Elasticsearch has no index {index} yet.") from error
                raise
        return response

    def _search_all(
        self, searches: list[tuple[str, dict[str, Any]]]
    ) -> list[dict[str, Any] | None]:
        """Send several searches in one request; return their responses in order.

        The response of an index that does not exist yet is None.
        """
        lines = [part for index, body in searches for part in ({"index": index}, body)]
        with translate_errors(self._elasticsearch.url):
            response = self._profiles.client.msearch(searches=lines)
        indices = (index for index, _ in searches)
        return list(map(_response_of, indices, response.body["responses"]))


def _response_of(index: str, response: dict[str, Any]) -> dict[str, Any] | None:
    """Return the response of one of several searches; None if its index does not exist yet."""
    error = response.get("error")
    if error is None:
        return response
    if error["type"] == "index_not_found_exception":
        return None
    raise IndexRefusedError(
        f"Elasticsearch refuses to search {index}: {error['type']}.\n"
        "Run `make process`, which makes what is missing."
    )
