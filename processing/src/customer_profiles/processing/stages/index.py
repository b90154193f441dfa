"""The index stage: make indexed profiles visible, and promote a rebuilt index."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import cast

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.layout import INDEX_PROGRESS_PREFIX, REBUILDING
from customer_profiles.processing.state import Context, RunState
from customer_profiles.processing.tasks.newest import IndexedCustomers, index_newest
from customer_profiles.processing.tasks.profile import ProfileTask
from customer_profiles.search.errors import IndexRefusedError, IndexUnavailableError
from customer_profiles.search.mapping import ALIAS
from customer_profiles.search.profile_index import IndexRef

logger = logging.getLogger(__name__)


def find_live_index(context: Context, state: RunState, *, required: bool = False) -> RunState:
    """See which index readers see; `index_error` says why there is none.

    Raises:
        IndexUnavailableError: Elasticsearch does not answer, and the index is required.
    """
    try:
        return replace(state, live_index=context.index.ensure(), index_error=None)
    except IndexUnavailableError as error:
        if required:
            raise
        return replace(state, live_index=None, index_error=str(error))


def publish_index(context: Context, state: RunState, task: ProfileTask) -> RunState:
    """Make what was indexed visible to searches; after a rebuild, promote the new index.

    Returns:
        The next state. Its `index_error` says why Elasticsearch did not do that.

    Raises:
        PipelineError: the new index lacks profiles.
    """
    if task.index is None:
        return state
    try:
        context.index.refresh(task.index)
        # An index that lacks a bucket is not for readers. The next rebuild fills another one.
        if task.rebuild and state.index_error is None and not state.profiles.failed:
            state = _promote(context, state, task.index, task.through_batch)
        elif not task.rebuild:
            context.index.record_batch(task.index, task.through_batch)
    except (IndexUnavailableError, IndexRefusedError) as error:
        # The index went away after it was filled. The run still has a report, with this in it.
        state = replace(state, index_error=state.index_error or str(error))
    context.stopwatch.lap("publish_index")
    return state


def refresh(context: Context, index: IndexRef) -> str | None:
    """Make what was indexed visible to searches; return why that failed."""
    try:
        context.index.refresh(index)
    except (IndexUnavailableError, IndexRefusedError) as error:
        return str(error)
    return None


def _promote(context: Context, state: RunState, ref: IndexRef, batch: int) -> RunState:
    """Point readers to a rebuilt index once it has as many profiles as the lake."""
    customers = sum(totals["customers"] for totals in state.profiles.totals.values())
    indexed = context.index.count(ref)
    if indexed != customers:
        raise PipelineError(
            f"The new index has {indexed:,} profiles and the lake {customers:,}; readers still see "
            "the old one.\nDid another run write at the same time? Run `make rebuild` again."
        )
    for removed in context.index.promote(ref, batch):
        for marker in context.store.list_sizes(f"{INDEX_PROGRESS_PREFIX}{removed}."):
            context.store.delete(marker)
    profiles = replace(state.profiles, index=ref.key, behind=())
    profiles.save(context.store)
    context.store.delete(REBUILDING)
    logger.info("readers of %s now see %s", ALIAS, ref.name, extra={"event": "index_promoted"})
    return replace(state, profiles=profiles, live_index=ref)


def index_newest_customers(
    context: Context, buckets: Sequence[int], task: ProfileTask, index: IndexRef
) -> IndexedCustomers:
    """Index the newest batch's customers on the cluster, ahead of their profiles in the lake."""
    cluster = context.spark.start()
    groups = min(len(buckets), cluster.cores)
    rdd = cluster.context.parallelize(list(buckets), groups).mapPartitions(
        partial(index_newest, context.tasks, task, index)
    )
    results = cast("list[IndexedCustomers]", context.spark.run(rdd, "index", groups))
    errors = [result.error for result in results if result.error]
    customers = sum(result.customers for result in results)
    return IndexedCustomers(customers, errors[0] if errors else None)
