"""What an index contains, to be compared with what the lake says that it should contain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from customer_profiles.search.client import ElasticsearchConfig, connect, translate_errors
from customer_profiles.search.mapping import ALIAS, THROUGH_BATCH
from customer_profiles.search.profile_index import IndexRef

SCAN_DOCUMENTS = 2_000
"""Documents in one answer: about a megabyte of profiles."""


class IndexedDocument(NamedTuple):
    """One document of an index."""

    key: str
    """Its `_id`."""
    version: int
    content: Mapping[str, Any]


class IndexContents:
    """Reads indices as a whole.

    All methods raise `IndexUnavailableError` if Elasticsearch does not answer and
    `IndexRefusedError` if it refuses.
    """

    def __init__(self, config: ElasticsearchConfig) -> None:
        self.config = config
        self.client = connect(config)

    def live(self) -> tuple[IndexRef, int | None] | None:
        """Return the live index of profiles and the newest batch that it says it has.

        Returns:
            None if there is no live index. The batch is None if the index does not say it.
        """
        with translate_errors(self.config.url):
            found = self.client.options(ignore_status=404).indices.get(index=ALIAS).body
        if "error" in found:
            return None
        name, entry = next(iter(found.items()))
        batch = entry["mappings"].get("_meta", {}).get(THROUGH_BATCH)
        ref = IndexRef(name, entry["settings"]["index"]["uuid"])
        return ref, batch if isinstance(batch, int) else None

    def sums(
        self, index: str, fields: Sequence[str], term: Mapping[str, str] | None = None
    ) -> dict[str, int] | None:
        """Make all documents of an index visible, and add up whole numbers over them.

        Args:
            index: the name of an index.
            fields: fields of type `long`.
            term: the value of a keyword that the documents must have; None takes all of them.

        Returns:
            The sum of each field, and the number of documents as `documents`; None if there is no
            index of that name.
        """
        with translate_errors(self.config.url):
            client = self.client.options(ignore_status=404)
            # What a run has just sent is otherwise visible only after a second.
            client.indices.refresh(index=index)
            response = client.search(
                index=index,
                size=0,
                track_total_hits=True,
                query={"term": dict(term)} if term else {"match_all": {}},
                aggs={field: {"sum": {"field": field}} for field in fields},
            )
        body = response.body
        if "error" in body:
            return None
        sums = {field: round(body["aggregations"][field]["value"]) for field in fields}
        return {"documents": body["hits"]["total"]["value"], **sums}

    def scan(self, index: str) -> Iterator[IndexedDocument]:
        """Yield all documents that a search finds, in any order."""
        # Most commands read no index as a whole.
        from elasticsearch.helpers import scan  # noqa: PLC0415

        with translate_errors(self.config.url):
            hits = scan(
                self.client,
                index=index,
                query={"query": {"match_all": {}}, "version": True},
                size=SCAN_DOCUMENTS,
            )
            for hit in hits:
                yield IndexedDocument(hit["_id"], hit["_version"], hit["_source"])
