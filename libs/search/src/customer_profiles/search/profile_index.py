"""The indices of profiles, one of which readers see through an alias."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import polars as pl
from elasticsearch import Elasticsearch

from customer_profiles.common.errors import PipelineError
from customer_profiles.profiles.schema import EVENT_DAYS
from customer_profiles.search.bulk import bulk, split_bodies
from customer_profiles.search.client import ElasticsearchConfig, connect, translate_errors
from customer_profiles.search.documents import to_ndjson
from customer_profiles.search.errors import DocumentsRefusedError
from customer_profiles.search.index_ref import IndexRef
from customer_profiles.search.mapping import (
    ALIAS,
    COMPLETE,
    INDEX_PATTERN,
    REFRESH,
    TEMPLATE,
    THROUGH_BATCH,
    complete_meta,
    profile_updates,
    setting_updates,
)

__all__ = ["IndexRef", "ProfileIndex"]

BULK_DOCUMENTS = 5_000
"""Documents per bulk request: about 2.5 MB."""


class ProfileIndex:
    """The profile indices and the alias `customer_profiles`, through which readers see one of them.

    All methods raise `IndexUnavailableError` if Elasticsearch does not answer and
    `IndexRefusedError` if it refuses.
    """

    def __init__(self, config: ElasticsearchConfig) -> None:
        self.config = config
        self.client = connect(config)
        self._meta: dict[str, dict[str, Any]] = {}
        """The `_meta` of each index, as `ensure` found it."""

    def ensure(self) -> IndexRef:
        """Put the index template, and create the first index if there is none.

        Returns:
            The live index.
        """
        with translate_errors(self.config.url):
            self.client.indices.put_index_template(name=ALIAS, body=TEMPLATE)
            live = self._live()
            if live:
                self._update_indices()
                return live
            # 400: another run has created the index in the meantime.
            client = self.client.options(ignore_status=400)
            return self._create(client, aliases={ALIAS: {}}, mappings={"_meta": COMPLETE})

    def create(self) -> IndexRef:
        """Create an index that readers do not see yet.

        Indices that an earlier attempt created and did not fill completely are deleted.
        """
        with translate_errors(self.config.url):
            complete = self._complete()
            for index in self._all():
                if index not in complete:
                    self.client.indices.delete(index=index.name)
            # Nobody searches the index before it is full, so it needs no refresh until then.
            return self._create(self.client, settings={"refresh_interval": "-1"})

    def through_batch(self, index: IndexRef) -> int | None:
        """Return the newest batch in an index, as `ensure` found it; None if it does not say it."""
        batch = self._meta.get(index.name, {}).get(THROUGH_BATCH)
        return batch if isinstance(batch, int) else None

    def record_batch(self, index: IndexRef, batch: int) -> None:
        """Note the newest batch in a complete index, for `through_batch` of later runs."""
        with translate_errors(self.config.url):
            # 403, 429: a full disk has made the index read-only.
            client = self.client.options(ignore_status=(403, 429))
            client.indices.put_mapping(index=index.name, meta=complete_meta(batch))

    def promote(self, index: IndexRef, batch: int | None = None) -> list[str]:
        """Move the alias to a filled index in one step.

        The index that was live until now is kept for `restore`. Older ones are deleted.

        Args:
            index: the filled index.
            batch: the newest batch in it, for `through_batch`; None if unknown.

        Returns:
            The names of the deleted indices.
        """
        with translate_errors(self.config.url):
            previous = self._live()
            self.client.indices.put_settings(
                index=index.name, settings={"refresh_interval": REFRESH}
            )
            self.client.indices.put_mapping(index=index.name, meta=complete_meta(batch))
            self._move_alias(previous, index)
            kept = {index.name, previous.name if previous else ""}
            outdated = [other.name for other in self._all() if other.name not in kept]
            for name in outdated:
                self.client.indices.delete(index=name)
            return outdated

    def restore(self) -> tuple[IndexRef, IndexRef]:
        """Move the alias back to the newest other complete index.

        Returns:
            The index that was live until now, and the one that is live from now on.

        Raises:
            PipelineError: there is no other complete index.
        """
        with translate_errors(self.config.url):
            previous = self._live()
            candidates = [index for index in self._complete() if index != previous]
            if previous is None or not candidates:
                raise PipelineError(
                    "There is no other index to show: `make rebuild` fills one and keeps the one "
                    "before it."
                )
            restored = max(candidates, key=lambda index: index.number)
            self._move_alias(previous, restored)
            return previous, restored

    def index_profiles(self, index: IndexRef, profiles: pl.DataFrame, version: int) -> None:
        """Index whole profiles under `_id = user_id` and check the outcome of each.

        Args:
            index: the index to write to.
            profiles: `INDEXED_SCHEMA`, and variants if there are any (`documents.documents`).
            version: the newest batch in the profiles. Documents with a higher version stay as they
                are.

        Raises:
            IndexUnavailableError: Elasticsearch does not answer.
            DocumentsRefusedError: Elasticsearch refused a document and has all others; the message
                names the index and the reason.
            IndexRefusedError: Elasticsearch refused all documents of a request.
        """
        refusals: list[DocumentsRefusedError] = []

        def send(body: bytes) -> None:
            try:
                bulk(self.client, index.name, body)
            except DocumentsRefusedError as error:
                # The documents after it do not have to wait for one that is refused.
                refusals.append(error)

        with translate_errors(self.config.url), ThreadPoolExecutor(1) as sender:
            request: Future[None] | None = None
            for start in range(0, profiles.height, BULK_DOCUMENTS):
                # Prepare this request while Elasticsearch handles the previous one.
                part = profiles[start : start + BULK_DOCUMENTS]
                for body in split_bodies(part, lambda rows: to_ndjson(rows, version)):
                    if request:
                        request.result()
                    request = sender.submit(send, body)
            if request:
                request.result()
        if refusals:
            raise refusals[0]

    def refresh(self, index: IndexRef) -> None:
        """Make all indexed documents visible to searches."""
        with translate_errors(self.config.url):
            self.client.indices.refresh(index=index.name)

    def count(self, index: IndexRef) -> int:
        """Return the number of profiles that a search finds."""
        with translate_errors(self.config.url):
            return int(self.client.count(index=index.name)["count"])

    def top_by_revenue(self, count: int) -> list[dict[str, Any]]:
        """Return the profiles with the highest revenue above 0, highest first."""
        order = [{"total_revenue": "desc"}, {"user_id": "asc"}]
        some = {"range": {"total_revenue": {"gt": 0}}}
        with translate_errors(self.config.url):
            response = self.client.search(
                index=ALIAS, size=count, sort=order, query=some, source_excludes=[EVENT_DAYS]
            )
        return [hit["_source"] for hit in response["hits"]["hits"]]

    def get(self, user_id: str) -> dict[str, Any] | None:
        """Return a customer's profile, without its `event_days`, or None if there is none."""
        client = self.client.options(ignore_status=404)
        with translate_errors(self.config.url):
            response = client.get(index=ALIAS, id=user_id, source_excludes=[EVENT_DAYS])
        profile: dict[str, Any] | None = response.body.get("_source")
        return profile

    def _create(self, client: Elasticsearch, **content: Any) -> IndexRef:
        newest = max((index.number for index in self._all()), default=0)
        name = f"{ALIAS}-{newest + 1:06d}"
        client.indices.create(index=name, **content)
        return next(index for index in self._all() if index.name == name)

    def _move_alias(self, previous: IndexRef | None, index: IndexRef) -> None:
        actions: list[dict[str, Any]] = [{"add": {"index": index.name, "alias": ALIAS}}]
        if previous:
            remove = {"index": previous.name, "alias": ALIAS, "must_exist": True}
            actions.insert(0, {"remove": remove})
        self.client.indices.update_aliases(actions=actions)

    def _update_indices(self) -> None:
        """Give the indices of older versions the fields and the settings of this one."""
        # 403, 429: a full disk has made the index read-only. A later run updates it.
        indices = self.client.options(ignore_status=(403, 429)).indices
        for name, content in self.client.indices.get(index=INDEX_PATTERN).body.items():
            self._meta[name] = content["mappings"].get("_meta", {})
            if updates := profile_updates(content["mappings"].get("properties", {})):
                indices.put_mapping(index=name, properties=updates)
            if settings := setting_updates(content["settings"]):
                indices.put_settings(index=name, settings=settings)

    def _live(self) -> IndexRef | None:
        return next(iter(self._indices(ALIAS)), None)

    def _all(self) -> list[IndexRef]:
        return self._indices(INDEX_PATTERN)

    def _complete(self) -> list[IndexRef]:
        """Return the indices that readers may see."""
        mappings = self.client.indices.get_mapping(index=INDEX_PATTERN).body
        return [
            index
            for index in self._all()
            if mappings[index.name]["mappings"].get("_meta", {}).get("complete")
        ]

    def _indices(self, expression: str) -> list[IndexRef]:
        """Return the indices that an alias or a pattern stands for, in the order of their names."""
        client = self.client.options(ignore_status=404)
        settings = client.indices.get_settings(index=expression, name="index.uuid").body
        if "error" in settings:
            return []
        return [
            IndexRef(name, entry["settings"]["index"]["uuid"])
            for name, entry in sorted(settings.items())
        ]
