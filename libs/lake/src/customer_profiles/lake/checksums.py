"""What an object says about itself, and the checksum that is checked when it is read.

The checksum covers the name, the attributes and the content. So it finds changed bytes, a
truncation and two objects that were swapped. Objects of version 0.2 have none and are accepted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

SHA256 = "sha256"
"""The checksum."""
EVENTS = "events"
"""Of a data file: the number of its events."""
FIRST_BATCH, LAST_BATCH = "first_batch", "last_batch"
"""Of a data file: the micro-batches of its events."""
THROUGH_BATCH = "through_batch"
"""Of profiles and event counts: the newest micro-batch that they include."""
ROWS = "rows"
"""Of profiles and event counts: the number of customers or of counts."""
WRITTEN = "written"
"""Of profiles and event counts: when the run began that wrote them; ISO 8601, UTC."""
_COVERED = (EVENTS, FIRST_BATCH, LAST_BATCH, ROWS, THROUGH_BATCH, WRITTEN)
"""Tools that copy a lake may add attributes of their own, so the checksum covers only these."""


def seal(name: str, data: bytes, attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of an object together with its checksum.

    Args:
        name: the object.
        data: its content.
        attributes: what else the object says about itself, by the names in this module.
    """
    # HTTP does not tell an empty value from none.
    filled = {key: value for key, value in attributes.items() if value and key != SHA256}
    return {**filled, SHA256: _digest(name, data, filled)}


def problem_of(name: str, data: bytes, attributes: Mapping[str, str]) -> str | None:
    """Return what is wrong with an object that was read; None if nothing is.

    Args:
        name: the name under which it was read.
        data: its content.
        attributes: all of its attributes.
    """
    expected = attributes.get(SHA256)
    if expected is None or _digest(name, data, attributes) == expected:
        return None
    return "its content does not have the checksum with which it was written"


def _digest(name: str, data: bytes, attributes: Mapping[str, str]) -> str:
    covered = [f"{key}={attributes[key]}" for key in _COVERED if key in attributes]
    digest = hashlib.sha256("\n".join([name, *covered, "", ""]).encode())
    digest.update(data)
    return digest.hexdigest()
