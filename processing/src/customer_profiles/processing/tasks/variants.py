"""Index profiles together with the variants that experiments have published."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import polars as pl

from customer_profiles.lake.errors import DamagedObjectError
from customer_profiles.lake.experiments import ExperimentLake, Published
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.search.mapping import EXPERIMENTS
from customer_profiles.search.profile_index import IndexRef, ProfileIndex

logger = logging.getLogger(__name__)


def index_with_variants(
    store: ObjectStore,
    index: ProfileIndex,
    ref: IndexRef,
    profiles: pl.DataFrame,
    version: int,
    buckets: Iterable[int],
) -> None:
    """Index whole profiles, each with the published variants of its customer.

    A document is always written as a whole, so it has to have them, or they would be lost.
    A publication may come in between. It writes down that it has begun before it changes documents,
    so these are written again if that note has changed, and otherwise it finds them.

    Args:
        store: the lake.
        index: the connection to Elasticsearch.
        ref: the index to write to.
        profiles: `PROFILE_SCHEMA`.
        version: the newest batch in the profiles.
        buckets: the buckets that the customers are in.

    Raises:
        PipelineError: as `ProfileIndex.index_profiles` raises it, or the lake does not answer.
    """
    lake, numbers = ExperimentLake(store), list(buckets)
    published = _published(lake)
    while True:
        index.index_profiles(ref, _with_variants(lake, published, profiles, numbers), version)
        newer = _published(lake)
        if newer == published:
            return
        published = newer


def _published(lake: ExperimentLake) -> Published:
    try:
        return lake.published()
    except DamagedObjectError as error:
        _warn(error)
        return Published()


def _with_variants(
    lake: ExperimentLake, published: Published, profiles: pl.DataFrame, buckets: Iterable[int]
) -> pl.DataFrame:
    """Add the column of variants, if any experiment has published some."""
    if not published.names:
        return profiles
    try:
        variants = pl.concat(lake.variants(published.names, bucket) for bucket in buckets)
    except DamagedObjectError as error:
        _warn(error)
        return profiles
    return profiles.join(
        variants.rename({"experiments": EXPERIMENTS}),
        on="user_id",
        how="left",
        maintain_order="left",
    )


def _warn(error: DamagedObjectError) -> None:
    """Tell people. Profiles do not wait for experiments."""
    logger.warning(
        "documents were written without the variants of experiments: %s Write them again with "
        "`make assign EXPERIMENT=… PUBLISH=1`.",
        error.args[0],
        extra={"event": "variants_damaged"},
    )
