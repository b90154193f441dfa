"""Objects that must not exist before: the first writer wins, also if its answer was lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from customer_profiles.lake.errors import WriteConflictError
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.runs import is_this_run


class FirstWrites:
    """Writes plans and commits, each at most once.

    If MinIO goes away after it has written an object and before it has answered, the same run
    writes the object again later. It then meets its own object, which is no conflict.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._unanswered: set[str] = set()

    def put(self, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Write an object; return what is stored now.

        Args:
            name: the object.
            content: a plan, or a commit that repeats its plan as `plan`.

        Raises:
            WriteConflictError: another run has written the object.
            LakeUnavailableError: no answer came; the object may have been written.
        """
        is_repeated = name in self._unanswered
        self._unanswered.add(name)
        try:
            self._store.put_json(name, dict(content), if_absent=True)
        except WriteConflictError:
            self._unanswered.discard(name)
            stored = self._store.get_json(name) if is_repeated else None
            if stored is None or not is_this_run(stored.get("plan", stored).get("planned_by")):
                raise
            return stored
        self._unanswered.discard(name)
        return dict(content)
