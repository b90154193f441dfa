"""The exposure as a message in `experiment_exposures`: a customer has met a variant.

A shop sends one whenever it shows a variant to a customer. It may send the same one again: an
exposure is identified by its four values, so a repeat is recognised.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from customer_profiles.contracts.event import SEPARATOR
from customer_profiles.contracts.messages import (
    InvalidMessageError,
    is_count,
    read_object,
    shown,
)
from customer_profiles.contracts.rules import canonical_time, check_value

EXPOSURE_VERSION = 1
"""The `schema_version` of a message."""
EXPOSURE_COLUMNS = ("experiment", "variant", "user_id", "exposed_at")
"""The values of an exposure, and the columns of a file of exposures."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""The name of an experiment or of a variant."""


class ExposureReason(StrEnum):
    """A reason why a message is no exposure. A message keeps all of its reasons."""

    NOT_JSON = "not_json"
    """The message is no JSON object."""
    SCHEMA_VERSION_UNKNOWN = "schema_version_unknown"
    EXPERIMENT_INVALID = "experiment_invalid"
    """It is no name: a letter or digit, then at most 63 letters, digits, - and _."""
    VARIANT_INVALID = "variant_invalid"
    USER_ID_INVALID = "user_id_invalid"
    """It is no text of 1 to 20 digits."""
    EXPOSED_AT_INVALID = "exposed_at_invalid"
    """It is no time in ISO 8601."""


class InvalidExposureError(InvalidMessageError):
    """A message that is no exposure."""

    def __init__(self, reasons: list[ExposureReason], detail: str) -> None:
        """Keep all reasons; `detail` says it in words."""
        super().__init__(detail)
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class Exposure:
    """A customer has met a variant, in canonical values."""

    experiment: str
    variant: str
    user_id: str
    exposed_at: str
    """ISO 8601 in UTC, such as `2020-09-24T11:57:06Z`."""

    @property
    def exposure_id(self) -> str:
        """The identity: the first 128 bits of SHA-256 over the four values, joined by U+001F."""
        values = (self.experiment, self.variant, self.user_id, self.exposed_at)
        return hashlib.sha256(SEPARATOR.join(values).encode()).hexdigest()[:32]

    def to_json(self) -> str:
        """Encode the exposure as the value of a message."""
        content = {name: getattr(self, name) for name in EXPOSURE_COLUMNS}
        return json.dumps(content | {"schema_version": EXPOSURE_VERSION}, separators=(",", ":"))


def is_experiment_name(value: object) -> bool:
    """Return whether a value can name an experiment or a variant."""
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def check_exposure(values: Mapping[str, Any]) -> Exposure:
    """Decide whether some values are an exposure.

    Args:
        values: `EXPOSURE_COLUMNS`; other names are ignored. A time may have any offset from UTC. A
            time without one counts as UTC.

    Returns:
        The exposure, with its time in UTC.

    Raises:
        InvalidExposureError: they are not; the error has all reasons.
    """
    experiment, variant, user, time = (values.get(name) for name in EXPOSURE_COLUMNS)
    exposed_at = canonical_time(time) if isinstance(time, str) else None
    user_id = check_value("user_id", user)[0] if isinstance(user, str) and user else None
    problems = {
        ExposureReason.EXPERIMENT_INVALID: None if is_experiment_name(experiment) else experiment,
        ExposureReason.VARIANT_INVALID: None if is_experiment_name(variant) else variant,
        ExposureReason.USER_ID_INVALID: None if user_id else user,
        ExposureReason.EXPOSED_AT_INVALID: None if exposed_at else time,
    }
    valid = (is_experiment_name(experiment), is_experiment_name(variant), user_id, exposed_at)
    reasons = [reason for reason, ok in zip(problems, valid, strict=True) if not ok]
    if reasons:
        detail = "; ".join(
            f"{reason.removesuffix('_invalid')} is {shown(problems[reason])}" for reason in reasons
        )
        raise InvalidExposureError(reasons, detail)
    return Exposure(str(experiment), str(variant), str(user_id), str(exposed_at))


def decode_exposure(data: bytes | None) -> Exposure:
    """Decode a message. Unknown fields are dropped.

    Args:
        data: the value of a Kafka message; None is a tombstone.

    Raises:
        InvalidExposureError: the message is no exposure; the error has all reasons.
    """
    try:
        record = read_object(data)
    except InvalidMessageError as error:
        raise InvalidExposureError([ExposureReason.NOT_JSON], str(error)) from error
    version = record.get("schema_version")
    if not is_count(version) or version != EXPOSURE_VERSION:
        detail = f"schema_version is {shown(version)}, not {EXPOSURE_VERSION}"
        raise InvalidExposureError([ExposureReason.SCHEMA_VERSION_UNKNOWN], detail)
    return check_exposure(record)
