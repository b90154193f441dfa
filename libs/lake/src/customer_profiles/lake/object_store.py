"""The interface of an object store: named objects that are always replaced as a whole."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple


class StoredObject(NamedTuple):
    """The content of an object, and the tag that identifies this version of it."""

    data: bytes
    etag: str
    """The entity tag (ETag). A conditional write compares it."""


class ObjectStore(ABC):
    """Named objects. Readers see either the old or the new version of an object, never a mixture.

    All methods raise `LakeUnavailableError` if the store does not answer or refuses.
    """

    @abstractmethod
    def get(self, name: str) -> StoredObject | None:
        """Return an object, or None if there is none of that name."""

    @abstractmethod
    def put(
        self, name: str, data: bytes, *, if_match: str | None = None, if_absent: bool = False
    ) -> None:
        """Write an object as a whole.

        Args:
            name: the name of the object.
            data: its content.
            if_match: write only if the object still has this ETag.
            if_absent: write only if there is no object of that name.

        Raises:
            WriteConflictError: the condition does not hold.
        """

    @abstractmethod
    def list_sizes(self, prefix: str) -> dict[str, int]:
        """Return the names that start with a prefix, sorted, and the objects' sizes in bytes."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete an object. It is no error if there is none of that name."""

    def get_json(self, name: str) -> dict[str, Any] | None:
        """Return the content of a JSON object, or None if there is no object of that name."""
        stored = self.get(name)
        return json.loads(stored.data) if stored else None

    def put_json(
        self,
        name: str,
        value: Mapping[str, Any],
        *,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> None:
        """Write an object as JSON. The conditions are those of `put`."""
        data = (json.dumps(value, indent=1) + "\n").encode()
        self.put(name, data, if_match=if_match, if_absent=if_absent)
