"""Write state and manifest anew, from the objects of the lake."""

from __future__ import annotations

from collections.abc import Mapping

from customer_profiles.lake.expectation import describe_bucket, objects_by_bucket
from customer_profiles.lake.manifest import Manifest
from customer_profiles.processing.integrity.diagnosis import Diagnosis, Servers
from customer_profiles.processing.state import ProfilesState


def save_records(
    servers: Servers, diagnosis: Diagnosis, state: ProfilesState, counts: Mapping[int, int]
) -> None:
    """Save the state, and a manifest of what the lake has now.

    Args:
        servers: the clients.
        diagnosis: what was found before the repair.
        state: the new state.
        counts: the stored events of each bucket.
    """
    reach, store = diagnosis.reach, servers.store
    groups = objects_by_bucket(store.list_objects(""))
    entries = {
        bucket: describe_bucket(bucket, groups.get(bucket, {}), reach.last_batch, store.head)
        for bucket in sorted(counts)
    }
    manifest = Manifest(
        through_batch=reach.last_batch,
        buckets=servers.buckets,
        next_offsets=dict(sorted(reach.next_offsets.items())),
        by_bucket={bucket: entry for bucket, entry in entries.items() if entry is not None},
        topic_id=diagnosis.survey.log.topic_id,
    )
    manifest.save(store)
    state.save(store)
