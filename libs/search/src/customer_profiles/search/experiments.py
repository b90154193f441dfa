"""What experiments write to Elasticsearch: variants in the profiles, and results of analyses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from customer_profiles.search.bulk import bulk, split_bodies
from customer_profiles.search.client import ElasticsearchConfig, translate_errors
from customer_profiles.search.contents import IndexContents
from customer_profiles.search.errors import IndexUnavailableError
from customer_profiles.search.mapping import EXPERIMENTS, INDEX_PATTERN, KEYWORD
from customer_profiles.search.profile_index import BULK_DOCUMENTS

RESULTS = "experiment_results"
"""The index of results: one document per comparison of the newest analysis, and one per look."""
_DOUBLE, _LONG, _DATE, _FLAG = ({"type": name} for name in ("double", "long", "date", "boolean"))
RESULT_FIELDS: dict[str, Any] = {
    "time": _DATE,
    "experiment": KEYWORD,
    "kind": KEYWORD,
    "metric": KEYWORD,
    "role": KEYWORD,
    "variant": KEYWORD,
    "segment": KEYWORD,
    "decision": KEYWORD,
    "text": KEYWORD,
    "method": KEYWORD,
    "label": KEYWORD,
    "customers": _LONG,
    "expected": _DOUBLE,
    "control": _DOUBLE,
    "treatment": _DOUBLE,
    "effect": _DOUBLE,
    "low": _DOUBLE,
    "high": _DOUBLE,
    "relative": _DOUBLE,
    "relative_low": _DOUBLE,
    "relative_high": _DOUBLE,
    "p_value": _DOUBLE,
    "significant": _FLAG,
    "exploratory": _FLAG,
}
"""The fields of `experiment_results`. `kind` is verdict, comparison, look or sample_ratio."""


class ExperimentIndices:
    """Writes variants and results.

    All methods raise `IndexUnavailableError` if Elasticsearch does not answer and
    `IndexRefusedError` if it refuses.
    """

    def __init__(self, config: ElasticsearchConfig) -> None:
        self.config = config
        self._contents = IndexContents(config)
        self._client = self._contents.client

    def publish_variants(
        self,
        experiment: str,
        variants: Mapping[str, str],
        progress: Callable[[int], None] = lambda _documents: None,
    ) -> int:
        """Write variants into the field `experiments.NAME` of all profiles.

        That includes the index that a rebuild fills and the one that `make restore-index` shows.
        A document keeps its version, so a newer profile that arrives in between wins. The caller
        holds the lease of streams, and has recorded the publication (`lake.experiments`): whoever
        writes profiles meanwhile writes the variants, too.

        Args:
            experiment: the name of the experiment.
            variants: the variant of each customer. Other customers lose the field.
            progress: called with the number of documents that were compared.

        Returns:
            How many documents of the live index have changed.

        Raises:
            IndexUnavailableError: there are no profiles yet.
        """
        live = self._live()
        with translate_errors(self.config.url):
            names = list(self._client.indices.get_settings(index=INDEX_PATTERN).body)
        for name in names:
            if name != live:
                self._publish(name, experiment, variants)
        return self._publish(live, experiment, variants, progress)

    def add_field(self, experiment: str) -> None:
        """Let all profile indices take the variants of an experiment; later ones take any.

        Raises:
            IndexUnavailableError: there are no profiles yet.
        """
        self._live()
        field = {EXPERIMENTS: {"properties": {experiment: KEYWORD}}}
        with translate_errors(self.config.url):
            self._client.indices.put_mapping(index=INDEX_PATTERN, properties=field)

    def _live(self) -> str:
        live = self._contents.live()
        if live is None:
            raise IndexUnavailableError("There are no profiles yet.\nRun `make process` first.")
        return live[0].name

    def _publish(
        self,
        index: str,
        experiment: str,
        variants: Mapping[str, str],
        progress: Callable[[int], None] = lambda _documents: None,
    ) -> int:
        with translate_errors(self.config.url):
            self._client.indices.refresh(index=index)
        changed, waiting = 0, []
        for number, (user_id, version, content) in enumerate(self._contents.scan(index), 1):
            others = dict(content.get(EXPERIMENTS) or {})
            if others.pop(experiment, None) != (variant := variants.get(user_id)):
                published = others | ({experiment: variant} if variant else {})
                profile = {key: value for key, value in content.items() if key != EXPERIMENTS}
                document = profile | ({EXPERIMENTS: published} if published else {})
                waiting.append(_action(user_id, version, document))
                changed += 1
            if len(waiting) == BULK_DOCUMENTS:
                self._send(index, waiting)
                waiting = []
                progress(number)
        self._send(index, waiting)
        with translate_errors(self.config.url):
            self._client.indices.refresh(index=index)
        return changed

    def write_results(
        self, experiment: str, documents: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> None:
        """Replace all results of an experiment.

        Args:
            experiment: the name of the experiment.
            documents: ids and documents with `RESULT_FIELDS`.
        """
        with translate_errors(self.config.url):
            if not self._client.indices.exists(index=RESULTS):
                # 400: another run has created the index in the meantime.
                self._client.options(ignore_status=400).indices.create(
                    index=RESULTS,
                    settings={"number_of_shards": 1, "number_of_replicas": 0},
                    mappings={"dynamic": "strict", "properties": RESULT_FIELDS},
                )
            self._client.indices.refresh(index=RESULTS)
            old = {
                hit.key
                for hit in self._contents.scan(RESULTS)
                if hit.content.get("experiment") == experiment
            }
        new = dict(documents)
        lines = [
            f"{json.dumps({'index': {'_id': key}})}\n{json.dumps(document)}\n"
            for key, document in new.items()
        ]
        lines += [f"{json.dumps({'delete': {'_id': key}})}\n" for key in sorted(old - set(new))]
        self._send(RESULTS, lines)
        with translate_errors(self.config.url):
            self._client.indices.refresh(index=RESULTS)

    def _send(self, index: str, lines: list[str]) -> None:
        if not lines:
            return
        with translate_errors(self.config.url):
            for body in split_bodies(lines, lambda texts: "".join(texts).encode()):
                bulk(self._client, index, body)


def _action(user_id: str, version: int, document: Mapping[str, Any]) -> str:
    meta = {"_id": user_id, "version": version, "version_type": "external_gte"}
    return f"{json.dumps({'index': meta})}\n{json.dumps(document)}\n"
