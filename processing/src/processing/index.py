"""Profiles in Elasticsearch: template, index, alias and bulk requests as ready NDJSON."""

from __future__ import annotations

import time
from typing import Any

import polars as pl
from elastic_transport import ConnectionError as NoAnswer
from elasticsearch import ApiError, Elasticsearch

from processing.errors import ProcessError
from processing.profiles import PROFILE_SCHEMA
from processing.settings import Settings

ALIAS = "customer_profiles"
FIRST_INDEX = f"{ALIAS}-000001"
BULK_DOCUMENTS = 5_000
"""About 2.5 MB a request."""
BUSY_S = 60.0

_TYPES = {pl.String(): "keyword", pl.Int64(): "long", pl.Float64(): "double"}

TEMPLATE: dict[str, Any] = {
    "index_patterns": [f"{ALIAS}-*"],
    "template": {
        "settings": {"number_of_shards": 1, "number_of_replicas": 0},
        "mappings": {
            # A field that nobody described is refused, instead of being guessed.
            "dynamic": "strict",
            "properties": {
                name: {"type": _TYPES.get(dtype, "date" if dtype == pl.Datetime("us", "UTC") else "double")}
                for name, dtype in PROFILE_SCHEMA.items()
            },
        },
    },
}


class Index:
    """The index behind the alias `customer_profiles`."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.elasticsearch_url
        auth = ("elastic", settings.elasticsearch_password) if settings.elasticsearch_password else None
        self._client = Elasticsearch(
            self._url, basic_auth=auth, request_timeout=60, retry_on_timeout=True, max_retries=3
        )

    def ensure(self) -> str:
        """Put the template and, the first time, an index with the alias; returns the index behind it.

        Raises:
            ProcessError: Elasticsearch does not answer or refuses.
        """
        try:
            self._client.indices.put_index_template(name=ALIAS, body=TEMPLATE)
            if not self._client.indices.exists_alias(name=ALIAS):
                self._client.options(ignore_status=400).indices.create(index=FIRST_INDEX, aliases={ALIAS: {}})
            return str(next(iter(self._client.indices.get_alias(name=ALIAS).body)))
        except NoAnswer as error:
            raise ProcessError(
                f"Elasticsearch does not answer on {self._url}.\nRun `make up` to start the stack, or `make status`."
            ) from error
        except ApiError as error:
            raise ProcessError(f"Elasticsearch on {self._url} refuses: {error}") from error

    def put(self, index: str, profiles: pl.DataFrame, version: int) -> None:
        """Index whole profiles under `_id = user_id` and check what became of each.

        Args:
            index: its name.
            profiles: `PROFILE_SCHEMA`.
            version: the newest batch in them; a document of a newer one is left as it is.

        Raises:
            ProcessError: any document was refused; names the index and the reason.
        """
        for begin in range(0, profiles.height, BULK_DOCUMENTS):
            self._bulk(index, to_ndjson(profiles[begin : begin + BULK_DOCUMENTS], version))

    def _bulk(self, index: str, body: str) -> None:
        waited, pause = 0.0, 0.5
        while True:
            try:
                answer = self._client.perform_request(
                    "POST",
                    f"/{index}/_bulk?filter_path=errors,items.*.status,items.*.error.reason,items.*.error.type",
                    headers={"content-type": "application/x-ndjson", "accept": "application/json"},
                    body=body.encode(),
                ).body
            except NoAnswer as error:
                raise ProcessError(
                    f"Elasticsearch on {self._url} stopped answering; the lake holds all profiles.\n"
                    "Run `make status`, then `make process` again: it catches up."
                ) from error
            except ApiError as error:
                answer = {
                    "errors": True,
                    "items": [{"index": {"status": error.status_code, "error": {"reason": str(error)}}}],
                }
            if not answer["errors"]:
                return
            # 409: a newer version is in the index already, which is what versions are for.
            failed = [item["index"] for item in answer["items"] if item["index"]["status"] not in (200, 201, 409)]
            if not failed:
                return
            if waited > BUSY_S or any(item["status"] != 429 for item in failed):
                worst = failed[0]
                raise ProcessError(
                    f"Elasticsearch refused {len(failed)} profiles for {index}: {worst['error'].get('reason')} "
                    f"({worst['status']}).\nThe lake holds all profiles. A full disk makes indices read-only: see "
                    "`make status`; then run `make process` again: it catches up."
                )
            # Too busy: a bulk request may be repeated, since documents are whole and have their version.
            time.sleep(pause)
            waited, pause = waited + pause, min(pause * 2, 8)

    def refresh(self) -> None:
        """Make what was indexed visible to searches."""
        self._client.indices.refresh(index=ALIAS)

    def count(self) -> int:
        """How many profiles a search finds."""
        return int(self._client.count(index=ALIAS)["count"])

    def best(self, count: int) -> list[dict[str, Any]]:
        """The profiles with the highest revenue, highest first."""
        answer = self._client.search(
            index=ALIAS,
            size=count,
            sort=[{"total_revenue": "desc"}, {"user_id": "asc"}],
            query={"range": {"total_revenue": {"gt": 0}}},
        )
        return [hit["_source"] for hit in answer["hits"]["hits"]]

    def find(self, user_id: str) -> dict[str, Any] | None:
        """One customer's profile; None where there is none."""
        answer = self._client.options(ignore_status=404).get(index=ALIAS, id=user_id)
        found: dict[str, Any] | None = answer.body.get("_source")
        return found


def to_ndjson(profiles: pl.DataFrame, version: int) -> str:
    """A bulk request: whole profiles, money as numbers, times as ISO 8601 in UTC."""
    moments = [name for name, dtype in PROFILE_SCHEMA.items() if isinstance(dtype, pl.Datetime)]
    money = [name for name, dtype in PROFILE_SCHEMA.items() if isinstance(dtype, pl.Decimal)]
    documents = profiles.with_columns(
        pl.col(moments).dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ"), pl.col(money).cast(pl.Float64)
    ).select(pl.struct(PROFILE_SCHEMA.keys()).struct.json_encode().alias("document"), "user_id")
    # An id is digits alone, so it needs no escapes.
    lines = pl.concat_str(
        pl.lit('{"index":{"_id":"'),
        "user_id",
        pl.lit(f'","version":{version},"version_type":"external_gte"}}}}\n'),
        "document",
        pl.lit("\n"),
    )
    return "".join(documents.select(lines).to_series().to_list())
