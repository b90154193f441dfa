"""Compare what Elasticsearch has with what the lake says that it should have. Pure: no I/O."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from customer_profiles.lake.findings import Finding, Kind, Remedy
from customer_profiles.lake.layout import REJECTED_ROWS, SENT_COUNTS, STATE
from customer_profiles.lake.parquet import to_parquet
from customer_profiles.processing.rejected_counts import RowKey
from customer_profiles.profiles.event_counts import (
    add_counts,
    count_brands,
    reduce_brands,
    top_brands,
)
from customer_profiles.search.documents import document_id, documents
from customer_profiles.search.metrics_indices import counts_to_ndjson

PROFILE_SUMS = {
    "total_events": "total_events",
    "total_purchases": "total_purchases",
    "total_product_views": "total_product_views",
    "total_cart_additions": "total_cart_additions",
}
"""The fields of profiles that are compared by their sums, and their names in the totals."""
_GENERATED_AT = "profile_generated_at"
"""A stream writes an index and a lake at different times, so this field may differ."""

Indexed = Mapping[str, tuple[int, Mapping[str, Any]]]
"""Version and content of each document, by its id."""


@dataclass(frozen=True, slots=True)
class DocumentsVerdict:
    """How the documents of one bucket differ from its profiles."""

    missing: int
    different: int
    extra: int
    """Documents of customers whom the lake does not have."""
    newer: int
    """Documents of a later batch than the newest in the lake, which no document replaces."""

    @property
    def differs(self) -> bool:
        """Whether there is anything to mend."""
        return any((self.missing, self.different, self.extra))

    @property
    def needs_new_index(self) -> bool:
        """Whether sending the documents again does not mend it."""
        return bool(self.extra or (self.newer and self.differs))

    def finding(self, index: str, bucket: int) -> Finding:
        """Describe the difference."""
        parts = [
            f"{number:,} {text}"
            for number, text in (
                (self.missing, "profiles are missing in it"),
                (self.different, "are others than in the lake"),
                (self.extra, "are of customers whom the lake does not have"),
            )
            if number
        ]
        customers = self.missing + self.different + self.extra
        kind = Kind.INDEX_AHEAD if self.needs_new_index else Kind.DAMAGED
        detail = ", ".join(parts)
        return Finding(kind, index, Remedy.REPAIR, detail, bucket=bucket, customers=customers)


def check_documents(profiles: pl.DataFrame, indexed: Indexed, last_batch: int) -> DocumentsVerdict:
    """Compare the documents of a bucket's customers with their profiles.

    Args:
        profiles: `INDEXED_SCHEMA`, all profiles of the bucket.
        indexed: the documents of the bucket's customers in the index.
        last_batch: the newest batch in the lake.
    """
    expected = {
        user_id: _comparable(json.loads(text)) for user_id, text in documents(profiles).iter_rows()
    }
    missing = expected.keys() - indexed.keys()
    extra = indexed.keys() - expected.keys()
    different = [
        key
        for key, content in expected.items()
        if key in indexed and _comparable(indexed[key][1]) != content
    ]
    newer = sum(version > last_batch for version, _ in indexed.values())
    return DocumentsVerdict(len(missing), len(different), len(extra), newer)


def _comparable(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != _GENERATED_AT}


def check_profile_sums(
    index: str, sums: Mapping[str, int], totals: Iterable[Mapping[str, Any]]
) -> list[Finding]:
    """Compare the sums over an index with the totals of all profiles in the lake."""
    parts = list(totals)
    expected = {"documents": sum(part["customers"] for part in parts)}
    for field, name in PROFILE_SUMS.items():
        expected[field] = sum(part.get(name, 0) for part in parts)
    return _compare_sums(index, sums, expected, "profiles", STATE)


def check_count_sums(index: str, sums: Mapping[str, int], sent: pl.DataFrame) -> list[Finding]:
    """Compare the sums over the index of event counts with what was sent to it."""
    expected = {"documents": sent.height, "events": int(sent["events"].sum())}
    return _compare_sums(index, sums, expected, "counts", SENT_COUNTS)


def check_rejected_sums(
    index: str, sums: Mapping[str, int], counts: Mapping[RowKey, int]
) -> list[Finding]:
    """Compare the sums over the index of rejected rows with the counts in the lake."""
    expected = {"documents": len(counts), "rows": sum(counts.values())}
    return _compare_sums(index, sums, expected, "counts", REJECTED_ROWS)


def _compare_sums(
    index: str, sums: Mapping[str, int], expected: Mapping[str, int], what: str, record: str
) -> list[Finding]:
    if sums["documents"] != expected["documents"]:
        detail = f"it has {sums['documents']:,} {what}, and {record} says {expected['documents']:,}"
    else:
        fields = [field for field, value in expected.items() if sums[field] != value]
        if not fields:
            return []
        field = fields[0]
        detail = f"its {field} add up to {sums[field]:,}, and {record} says {expected[field]:,}"
    return [Finding(Kind.DAMAGED, index, Remedy.REPAIR, detail)]


class AllCounts:
    """The event counts of all buckets, as the index should have them."""

    def __init__(self) -> None:
        # The stored form takes a tenth of the memory of columns.
        self._parts: list[bytes] = []
        self._brands: list[pl.DataFrame] = []

    def add(self, counts: pl.DataFrame) -> None:
        """Add the counts of a bucket. `METRIC_SCHEMA`."""
        self._parts.append(to_parquet(counts))
        self._brands.append(count_brands(counts))

    def documents(self) -> dict[str, dict[str, Any]]:
        """Return the documents that the index should have, by id."""
        brands = top_brands(self._brands)
        frames = (pl.read_parquet(io.BytesIO(part)) for part in self._parts)
        counts = add_counts(reduce_brands(frame, brands) for frame in frames)
        # `splitlines` would also split texts that have a line separator of Unicode.
        lines = [line for line in "".join(counts_to_ndjson(counts)).split("\n") if line]
        return {
            json.loads(action)["index"]["_id"]: json.loads(content)
            for action, content in zip(lines[::2], lines[1::2], strict=True)
        }


def rejected_documents(counts: Mapping[RowKey, int]) -> dict[str, dict[str, Any]]:
    """Return the documents that the index of rejected rows should have, by id.

    Args:
        counts: the number of rows by day, source and reason.
    """
    return {
        document_id("|".join((day, source, reason))): {
            "time": day,
            "source": source,
            "reason": reason,
            "rows": rows,
        }
        for (day, source, reason), rows in counts.items()
    }


def check_contents(
    index: str,
    expected: Mapping[str, Mapping[str, Any]],
    indexed: Iterable[tuple[str, Mapping[str, Any]]],
) -> list[Finding]:
    """Compare all documents of an index with those that it should have."""
    unseen = dict(expected)
    extra = different = 0
    for key, content in indexed:
        document = unseen.pop(key, None)
        if document is None:
            extra += 1
        elif dict(document) != dict(content):
            different += 1
    if not (unseen or extra or different):
        return []
    detail = f"{len(unseen):,} documents are missing, {different:,} differ and {extra:,} are extra"
    return [Finding(Kind.DAMAGED, index, Remedy.REPAIR, detail)]
