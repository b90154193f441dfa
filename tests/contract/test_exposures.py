"""The contract of exposures: schema, examples and decoder agree, and any bytes get an answer."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_profiles.contracts import EXPOSURE_DEAD_LETTERS, EXPOSURES
from customer_profiles.contracts.exposure import (
    Exposure,
    ExposureReason,
    InvalidExposureError,
    decode_exposure,
)

CONTRACT = files("customer_profiles.contracts")
SCHEMA = json.loads(CONTRACT.joinpath("schemas/experiment_exposure.v1.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
EXAMPLES = CONTRACT.joinpath("examples/exposures")
VALID, INVALID = (
    sorted(EXAMPLES.joinpath(folder).iterdir(), key=lambda file: file.name)
    for folder in ("valid", "invalid")
)
GOOD = {
    "experiment": "free-shipping",
    "variant": "treatment",
    "user_id": "1515915625519388267",
    "exposed_at": "2020-11-02T09:30:00Z",
    "schema_version": 1,
}


def decode(**changes: Any) -> Exposure:
    return decode_exposure(json.dumps(GOOD | changes).encode())


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.name)
def test_a_valid_example_satisfies_schema_and_decoder(file: Any) -> None:
    jsonschema.validate(json.loads(file.read_text()), SCHEMA)
    exposure = decode_exposure(file.read_bytes())
    assert decode_exposure(exposure.to_json().encode()) == exposure
    jsonschema.validate(json.loads(exposure.to_json()), SCHEMA)


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.name)
def test_an_invalid_example_is_rejected(file: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(file.read_text()), SCHEMA)
    with pytest.raises(InvalidExposureError):
        decode_exposure(file.read_bytes())


def test_topics_and_identity_never_change() -> None:
    assert (EXPOSURES.name, EXPOSURES.partitions) == ("experiment_exposures", 3)
    assert EXPOSURE_DEAD_LETTERS.name == "experiment_exposures_dead_letter"
    assert decode().exposure_id == "46423532f25f30dc86f1b9934ca0e9d0"


def test_times_and_ids_are_canonical_so_that_a_repeat_is_recognised() -> None:
    repeat = decode(exposed_at="2020-11-02 10:30:00+01:00", user_id="01515915625519388267")
    assert repeat == decode()
    assert repeat.exposure_id == decode().exposure_id


@pytest.mark.parametrize("changed", ["experiment", "variant", "user_id", "exposed_at"])
def test_the_identity_depends_on_every_value(changed: str) -> None:
    other = {"exposed_at": "2020-11-02T09:30:01Z", "user_id": "8"}.get(changed, "other")
    assert decode(**{changed: other}).exposure_id != decode().exposure_id


@pytest.mark.parametrize(
    ("data", "reasons"),
    [
        (None, [ExposureReason.NOT_JSON]),
        (b"", [ExposureReason.NOT_JSON]),
        (b"[]", [ExposureReason.NOT_JSON]),
        (b"[" * 100_000, [ExposureReason.NOT_JSON]),
        ({"schema_version": 2}, [ExposureReason.SCHEMA_VERSION_UNKNOWN]),
        ({"schema_version": True}, [ExposureReason.SCHEMA_VERSION_UNKNOWN]),
        ({"experiment": ""}, [ExposureReason.EXPERIMENT_INVALID]),
        ({"experiment": "x" * 65}, [ExposureReason.EXPERIMENT_INVALID]),
        ({"variant": "a.b"}, [ExposureReason.VARIANT_INVALID]),
        ({"variant": None}, [ExposureReason.VARIANT_INVALID]),
        ({"user_id": 7}, [ExposureReason.USER_ID_INVALID]),
        ({"user_id": "1.5e18"}, [ExposureReason.USER_ID_INVALID]),
        ({"user_id": "9" * 21}, [ExposureReason.USER_ID_INVALID]),
        ({"exposed_at": "2020-02-30T00:00:00Z"}, [ExposureReason.EXPOSED_AT_INVALID]),
        ({"exposed_at": 1604309400}, [ExposureReason.EXPOSED_AT_INVALID]),
        (
            {"variant": "", "exposed_at": ""},
            [ExposureReason.VARIANT_INVALID, ExposureReason.EXPOSED_AT_INVALID],
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_message_keeps_all_of_its_reasons(data: Any, reasons: list[ExposureReason]) -> None:
    message = json.dumps(GOOD | data).encode() if isinstance(data, dict) else data
    with pytest.raises(InvalidExposureError) as raised:
        decode_exposure(message)
    assert raised.value.reasons == reasons
    assert str(raised.value)


values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.lists(st.text())
)
texts = st.one_of(
    st.text("ab-_0é", max_size=5), st.datetimes().map(str), st.from_regex(r"\A[0-9]{1,21}\Z")
)


@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer(data: bytes) -> None:
    with pytest.raises(InvalidExposureError):
        decode_exposure(data)


@given(st.dictionaries(st.sampled_from(list(GOOD)), values | texts))
def test_any_values_get_an_answer_and_what_is_accepted_satisfies_the_schema(
    changes: dict[str, Any],
) -> None:
    message = GOOD | changes
    try:
        exposure = decode(**changes)
    except InvalidExposureError:
        return
    assert VALIDATOR.is_valid(message)
    assert decode_exposure(exposure.to_json().encode()) == exposure
