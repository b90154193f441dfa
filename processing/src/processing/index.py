"""Profiles in Elasticsearch: template, indices behind an alias, bulk requests as ready NDJSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl
from elastic_transport import ConnectionError as NoAnswer
from elasticsearch import ApiError, Elasticsearch

from processing.errors import ProcessError
from processing.profiles import PROFILE_SCHEMA
from processing.settings import Settings

ALIAS = "customer_profiles"
READER = "profiles-reader"
"""The account of those who look at profiles and change nothing, and its role."""
CHARTS = ("event_metrics", "pipeline_runs", "rejected_rows")
"""The indices of dashboards beside the profiles: see `processing.charts`."""
BULK_DOCUMENTS = 5_000
"""About 2.5 MB a request."""
REFRESH = "10s"
"""How often what is being indexed becomes visible to searches. Each run makes everything visible at its
end; doing so each second meanwhile, as is the default, makes small segments that have to be merged."""
BUSY_S = 60.0
"""How long a busy Elasticsearch is asked again."""
BLOCKED = "cluster_block_exception"
"""The type of a refusal that asking again does not change, such as a full disk's; it may also come as 429."""

_TYPES = {pl.String(): "keyword", pl.Int64(): "long", pl.Float64(): "double"}
_RARELY_SEARCHED = frozenset(
    PROFILE_SCHEMA.keys()
    - {"user_id", "customer_segment", "favorite_category", "favorite_brand"}
    - {"total_events", "total_purchases", "total_revenue", "first_seen", "last_seen"}
)
"""Fields without a search tree. They are searched by their columns, which takes some milliseconds for
a million profiles and saves a tenth of the work of indexing."""
_COMPLETE = {"_meta": {"complete": True}}
"""In the mapping of an index that readers may see: it has been filled, or was the first."""

TEMPLATE: dict[str, Any] = {
    "index_patterns": [f"{ALIAS}-*"],
    "template": {
        "settings": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": REFRESH},
        "mappings": {
            # A field that nobody described is refused, instead of being guessed.
            "dynamic": "strict",
            "properties": {
                name: {
                    "type": _TYPES.get(dtype, "date" if dtype == pl.Datetime("us", "UTC") else "double"),
                    **({"index": False} if name in _RARELY_SEARCHED else {}),
                }
                for name, dtype in PROFILE_SCHEMA.items()
            },
        },
    },
}


class IndexAway(ProcessError):
    """Elasticsearch does not answer; the lake does not have to wait for it."""


@dataclass(frozen=True, slots=True)
class Target:
    """One index; another of the same name, made after the first was deleted, is not the same."""

    name: str
    uuid: str

    @property
    def key(self) -> str:
        return f"{self.name}.{self.uuid}"

    @property
    def number(self) -> int:
        digits = self.name.rpartition("-")[2]
        return int(digits) if digits.isdigit() else 0


class Index:
    """The indices of profiles, of which the alias `customer_profiles` shows one."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.elasticsearch_url
        auth = ("elastic", settings.elasticsearch_password) if settings.elasticsearch_password else None
        self.client = Elasticsearch(
            self._url, basic_auth=auth, request_timeout=60, retry_on_timeout=True, max_retries=3
        )

    def ensure(self) -> Target:
        """Put the template and, the first time, an index with the alias; returns the index behind it.

        Raises:
            IndexAway: Elasticsearch does not answer.
            ProcessError: it refuses.
        """
        with self.telling():
            self.client.indices.put_index_template(name=ALIAS, body=TEMPLATE)
            # 400: another run has made it in the meantime.
            return self._shown() or self._make(
                self.client.options(ignore_status=400), aliases={ALIAS: {}}, mappings=_COMPLETE
            )

    def set_accounts(self, settings: Settings) -> list[str]:
        """Give the accounts of readers and of Kibana their passwords; returns the names of those that have one.

        Raises:
            IndexAway: Elasticsearch does not answer.
            ProcessError: it refuses, or has no accounts at all.
        """
        made = []
        with self.telling():
            if settings.reader_password:
                privileges = ["read", "view_index_metadata", "monitor"]
                self.client.security.put_role(
                    name=READER,
                    cluster=["monitor"],
                    indices=[{"names": [ALIAS, f"{ALIAS}-*", *CHARTS], "privileges": privileges}],
                )
                self.client.security.put_user(username=READER, password=settings.reader_password, roles=[READER])
                made.append(READER)
            if settings.kibana_password:
                self.client.security.change_password(username="kibana_system", password=settings.kibana_password)
                made.append("kibana_system")
        return made

    def create(self) -> Target:
        """A new index beside the others, which no reader sees; half-filled ones of earlier attempts go."""
        with self.telling():
            complete = self._complete()
            for found in self._all():
                if found not in complete:
                    self.client.indices.delete(index=found.name)
            # Nobody looks at it before it is full, so its segments need not be searchable meanwhile.
            return self._make(self.client, settings={"refresh_interval": "-1"})

    def show(self, target: Target) -> list[str]:
        """Put a filled index behind the alias, in one step; returns the names of those removed.

        The one that was shown until now is kept, for `restore`; older ones go.
        """
        with self.telling():
            before = self._shown()
            self.client.indices.put_settings(index=target.name, settings={"refresh_interval": REFRESH})
            self.client.indices.put_mapping(index=target.name, meta=_COMPLETE["_meta"])
            self._switch(before, target)
            kept = {target.name, before.name if before else ""}
            old = [found.name for found in self._all() if found.name not in kept]
            for name in old:
                self.client.indices.delete(index=name)
            return old

    def restore(self) -> tuple[Target, Target]:
        """Show the other complete index again; returns the one shown before, and the one shown now.

        Raises:
            ProcessError: there is none.
        """
        with self.telling():
            before = self._shown()
            others = [found for found in self._complete() if found != before]
            if before is None or not others:
                raise ProcessError(
                    "There is no other index to show: `make rebuild` fills one and keeps the one before it."
                )
            target = max(others, key=lambda found: found.number)
            self._switch(before, target)
            return before, target

    def _make(self, client: Elasticsearch, **content: Any) -> Target:
        newest = max((found.number for found in self._all()), default=0)
        name = f"{ALIAS}-{newest + 1:06d}"
        client.indices.create(index=name, **content)
        return next(found for found in self._all() if found.name == name)

    def _switch(self, before: Target | None, target: Target) -> None:
        actions: list[dict[str, Any]] = [{"add": {"index": target.name, "alias": ALIAS}}]
        if before:
            actions.insert(0, {"remove": {"index": before.name, "alias": ALIAS, "must_exist": True}})
        self.client.indices.update_aliases(actions=actions)

    def _shown(self) -> Target | None:
        return next(iter(self._targets(ALIAS)), None)

    def _all(self) -> list[Target]:
        return self._targets(f"{ALIAS}-*")

    def _complete(self) -> list[Target]:
        mappings = self.client.indices.get_mapping(index=f"{ALIAS}-*").body
        return [found for found in self._all() if mappings[found.name]["mappings"].get("_meta", {}).get("complete")]

    def _targets(self, expression: str) -> list[Target]:
        found = self.client.options(ignore_status=404).indices.get_settings(index=expression, name="index.uuid").body
        if "error" in found:
            return []
        return [Target(name, entry["settings"]["index"]["uuid"]) for name, entry in sorted(found.items())]

    def put(self, target: Target, profiles: pl.DataFrame, version: int) -> None:
        """Index whole profiles under `_id = user_id` and check what became of each.

        Args:
            target: into which index.
            profiles: `PROFILE_SCHEMA`.
            version: the newest batch in them; a document of a newer one is left as it is.

        Raises:
            IndexAway: Elasticsearch does not answer.
            ProcessError: any document was refused; names the index and the reason.
        """
        with ThreadPoolExecutor(1) as sender:
            sent: Future[None] | None = None
            for begin in range(0, profiles.height, BULK_DOCUMENTS):
                # Written while the one before is being indexed.
                body = to_ndjson(profiles[begin : begin + BULK_DOCUMENTS], version)
                if sent:
                    sent.result()
                sent = sender.submit(self.bulk, target.name, body)
            if sent:
                sent.result()

    def bulk(self, index: str, body: bytes) -> None:
        """Send a bulk request and see to it that all of it is done.

        Args:
            index: into which index.
            body: actions that may be repeated: whole documents under ids of their own, or deletions.

        Raises:
            IndexAway: Elasticsearch does not answer.
            ProcessError: any action was refused; names the index and the reason.
        """
        with self.telling():
            self._bulk(index, body)

    def _bulk(self, index: str, body: bytes) -> None:
        waited, pause, asked = 0.0, 0.5, "errors"
        while True:
            try:
                answer = self.client.perform_request(
                    "POST",
                    f"/{index}/_bulk?filter_path={asked}",
                    headers={"content-type": "application/x-ndjson", "accept": "application/json"},
                    body=body,
                ).body
            except ApiError as error:
                refusal = {"type": error.error, "reason": str(error)}
                answer = {"errors": True, "items": [{"index": {"status": error.status_code, "error": refusal}}]}
            if not answer["errors"]:
                return
            if "items" not in answer:
                # What became of each of thousands takes as long to read as to send, and is seldom of interest.
                asked = "errors,items.*.status,items.*.error.reason,items.*.error.type"
                continue
            # 409: a newer version is in the index already, which is what versions are for.
            outcomes = [outcome for item in answer["items"] for outcome in item.values()]
            failed = [outcome for outcome in outcomes if "error" in outcome and outcome["status"] != 409]
            if not failed:
                return
            final = [item for item in failed if item["status"] != 429 or item["error"].get("type") == BLOCKED]
            if final or waited > BUSY_S:
                worst = (final or failed)[0]
                raise ProcessError(
                    f"Elasticsearch refused {len(failed)} documents for {index}: {worst['error'].get('reason')} "
                    f"({worst['status']}).\nThe lake holds all profiles. A full disk makes indices read-only: see "
                    "`make status`; then run `make process` again: it catches up."
                )
            # Too busy.
            time.sleep(pause)
            waited, pause = waited + pause, min(pause * 2, 8)

    def refresh(self, target: Target) -> None:
        """Make what was indexed visible to searches."""
        with self.telling():
            self.client.indices.refresh(index=target.name)

    def count(self, target: Target) -> int:
        """How many profiles a search finds."""
        with self.telling():
            return int(self.client.count(index=target.name)["count"])

    def best(self, count: int) -> list[dict[str, Any]]:
        """The profiles with the highest revenue, highest first."""
        with self.telling():
            answer = self.client.search(
                index=ALIAS,
                size=count,
                sort=[{"total_revenue": "desc"}, {"user_id": "asc"}],
                query={"range": {"total_revenue": {"gt": 0}}},
            )
        return [hit["_source"] for hit in answer["hits"]["hits"]]

    def find(self, user_id: str) -> dict[str, Any] | None:
        """One customer's profile; None where there is none."""
        with self.telling():
            answer = self.client.options(ignore_status=404).get(index=ALIAS, id=user_id)
        found: dict[str, Any] | None = answer.body.get("_source")
        return found

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Say what a failure means for the person at the command line."""
        try:
            yield
        except NoAnswer as error:
            raise IndexAway(
                f"Elasticsearch does not answer on {self._url}; what is in the lake is safe.\n"
                "Run `make up` to start the stack, or `make status`; then run the command again: it catches up."
            ) from error
        except ApiError as error:
            raise ProcessError(f"Elasticsearch on {self._url} refuses: {error}") from error


def to_ndjson(profiles: pl.DataFrame, version: int) -> bytes:
    """A bulk request: whole profiles, money as numbers, times as ISO 8601 in UTC."""
    # An id is digits alone, so it needs no escapes.
    lines = pl.concat_str(
        pl.lit('{"index":{"_id":"'),
        "user_id",
        pl.lit(f'","version":{version},"version_type":"external_gte"}}}}\n'),
        "document",
        pl.lit("\n"),
    )
    return "".join(documents(profiles).select(lines).to_series().to_list()).encode()


def documents(profiles: pl.DataFrame) -> pl.DataFrame:
    """Profiles as JSON texts: columns `user_id` and `document`."""
    moments = [name for name, dtype in PROFILE_SCHEMA.items() if isinstance(dtype, pl.Datetime)]
    money = [name for name, dtype in PROFILE_SCHEMA.items() if isinstance(dtype, pl.Decimal)]
    return profiles.with_columns(
        *(iso_8601(profiles[name]) for name in moments), pl.col(money).cast(pl.Float64)
    ).select("user_id", pl.struct(PROFILE_SCHEMA.keys()).struct.json_encode().alias("document"))


def iso_8601(moments: pl.Series) -> pl.Series:
    """Moments as ISO 8601 in UTC, with a fraction where they have one.

    Whole seconds are put together from the texts of their days and of the seconds of a day, in a third of
    the time that formatting each takes.
    """
    micros = moments.dt.timestamp("us")
    if moments.len() > 1 and micros.min() == micros.max() and not moments.null_count():
        return iso_8601(moments[:1]).new_from_index(0, moments.len())
    if (micros % 1_000_000 != 0).any():
        return moments.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
    days = moments.dt.date()
    known = days.unique().sort()
    dates = known.cast(pl.String).gather(known.search_sorted(days))
    return (dates + _times_of_day().gather(micros // 1_000_000 % 86_400)).alias(moments.name)


@cache
def _times_of_day() -> pl.Series:
    seconds = pl.int_range(86_400, dtype=pl.Int64)
    return pl.select((seconds * 1_000_000_000).cast(pl.Time).dt.strftime("T%H:%M:%SZ")).to_series()
