"""The interface of an object store: named objects that are always replaced as a whole."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from customer_profiles.lake.checksums import problem_of, seal
from customer_profiles.lake.errors import DamagedObjectError

NO_ATTRIBUTES: Mapping[str, str] = {}
T = TypeVar("T")


class StoredObject(NamedTuple):
    """The content of an object, and the tag that identifies this version of it."""

    data: bytes
    etag: str
    """The entity tag (ETag). A conditional write compares it."""
    attributes: Mapping[str, str] = NO_ATTRIBUTES
    """What the object says about itself, such as `events`; empty for objects of old versions."""


class ObjectInfo(NamedTuple):
    """What is known of an object without reading its content."""

    size: int
    """Bytes."""
    etag: str
    attributes: Mapping[str, str] = NO_ATTRIBUTES
    """Only `head` answers them, a listing does not."""


class ObjectStore(ABC):
    """Named objects. Readers see either the old or the new version of an object, never a mixture.

    Every object carries a checksum (`lake.checksums`), which `get` checks.

    All methods raise `LakeUnavailableError` if the store does not answer or refuses.
    """

    def get(self, name: str) -> StoredObject | None:
        """Return an object, or None if there is none of that name.

        Raises:
            DamagedObjectError: the content is not what was written.
        """
        stored = self._get(name)
        if stored is not None and (problem := problem_of(name, stored.data, stored.attributes)):
            raise DamagedObjectError(name, problem, stored.etag)
        return stored

    def put(
        self,
        name: str,
        data: bytes,
        *,
        attributes: Mapping[str, str] = NO_ATTRIBUTES,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> str:
        """Write an object as a whole.

        Args:
            name: the name of the object.
            data: its content.
            attributes: what the object says about itself; keys in lower case, values in ASCII.
            if_match: write only if the object still has this ETag.
            if_absent: write only if there is no object of that name.

        Returns:
            The ETag of what was written.

        Raises:
            WriteConflictError: the condition does not hold.
        """
        sealed = seal(name, data, attributes)
        return self._put(name, data, sealed, if_match=if_match, if_absent=if_absent)

    @abstractmethod
    def _get(self, name: str) -> StoredObject | None:
        """Return an object as it is stored."""

    @abstractmethod
    def _put(
        self,
        name: str,
        data: bytes,
        attributes: Mapping[str, str],
        *,
        if_match: str | None,
        if_absent: bool,
    ) -> str:
        """Write an object with its attributes; return its ETag."""

    @abstractmethod
    def head(self, name: str) -> ObjectInfo | None:
        """Return size, ETag and attributes of an object, or None if there is none of that name."""

    @abstractmethod
    def list_objects(self, prefix: str) -> dict[str, ObjectInfo]:
        """Return the objects whose names start with a prefix, sorted by name."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete an object. It is no error if there is none of that name."""

    def list_sizes(self, prefix: str) -> dict[str, int]:
        """Return the names that start with a prefix, sorted, and the objects' sizes in bytes."""
        return {name: info.size for name, info in self.list_objects(prefix).items()}

    def get_json(self, name: str) -> dict[str, Any] | None:
        """Return the content of a JSON object, or None if there is no object of that name.

        Raises:
            DamagedObjectError: the content is not what was written, or no JSON object.
        """
        stored = self.get(name)
        return None if stored is None else parse_json(name, stored)

    def get_record(self, name: str, parse: Callable[[dict[str, Any]], T]) -> T | None:
        """Return the content of a JSON object as a record, or None if there is no such object.

        Args:
            name: the name of the object.
            parse: makes the record; what it raises for a content that does not fit is damage.

        Raises:
            DamagedObjectError: the content is not what was written, or no such record.
        """
        stored = self.get(name)
        return None if stored is None else parse_record(name, stored, parse)

    def put_json(
        self,
        name: str,
        value: Mapping[str, Any],
        *,
        if_match: str | None = None,
        if_absent: bool = False,
    ) -> str:
        """Write an object as JSON. Conditions and result are those of `put`."""
        data = (json.dumps(value, indent=1) + "\n").encode()
        return self.put(name, data, if_match=if_match, if_absent=if_absent)


def parse_json(name: str, stored: StoredObject) -> dict[str, Any]:
    """Return the content of a JSON object that was read.

    Raises:
        DamagedObjectError: it is no JSON object.
    """
    try:
        content = json.loads(stored.data)
    # RecursionError: endless nesting.
    except (ValueError, RecursionError) as error:
        raise DamagedObjectError(name, f"it is no JSON ({error})", stored.etag) from error
    if not isinstance(content, dict):
        raise DamagedObjectError(name, "it is no JSON object", stored.etag)
    return content


def parse_record(name: str, stored: StoredObject, parse: Callable[[dict[str, Any]], T]) -> T:
    """Return the content of a JSON object that was read as a record; see `get_record`.

    Raises:
        DamagedObjectError: it is no JSON object, or no such record.
    """
    content = parse_json(name, stored)
    try:
        return parse(content)
    except KeyError as error:
        raise DamagedObjectError(name, f"it has no {error}", stored.etag) from error
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise DamagedObjectError(name, f"a value does not fit ({error})", stored.etag) from error
