"""From measured customers to a verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from customer_profiles.experimentation.analysis import analyse
from customer_profiles.experimentation.definition import Experiment, Method, Variant
from customer_profiles.experimentation.measure import DAY_SUMS, Measured
from customer_profiles.experimentation.result import Counts, Decision, GuardrailState, Result
from tests.unit.experimentation.cases import END, EXPERIMENT, METRICS, START, at

AFTERWARDS = END + timedelta(days=8)
SEQUENCE = replace(EXPERIMENT, method=Method.ALWAYS_VALID)
NO_DAYS = pl.DataFrame(
    schema={"variant": pl.String, "day": pl.Int64, **dict.fromkeys(DAY_SUMS, pl.Float64)}
)
NAMES = [metric.name for metric in METRICS]


def customers(rates: dict[str, float], each: int = 4_000, sessions: float = 1.0) -> pl.DataFrame:
    """Let the customers of each variant buy with a probability of their own.

    Each has `sessions` times as many sessions outside of the control.
    """
    rng = np.random.default_rng(5)
    frames = []
    for variant, rate in rates.items():
        orders = (rng.random(each) < rate).astype(float)
        visits = rng.poisson(2 * (1 if variant == "control" else sessions), each).astype(float)
        values = {
            "conversion": orders,
            "orders": orders,
            "revenue": orders * rng.lognormal(3, 1, each),
            "sessions": visits,
        }
        before = {f"{name}__before": rng.random(each) for name in NAMES}
        exposed = [at(14 * n / each) for n in range(each)]
        frames.append(
            pl.DataFrame(
                {
                    "user_id": [f"{variant}{n}" for n in range(each)],
                    "variant": [variant] * each,
                    "segment": ["new" if n % 4 else "old" for n in range(each)],
                    "exposed_at": pl.Series(exposed, dtype=pl.Datetime("us", "UTC")),
                    **values,
                    **before,
                }
            )
        )
    return pl.concat(frames)


def analysed(
    frame: pl.DataFrame,
    experiment: Experiment = EXPERIMENT,
    as_of: object = AFTERWARDS,
    **counts: int,
) -> Result:
    empty = dict.fromkeys(
        ("repeats", "in_two_variants", "before_start", "after_end", "erased", "unknown_variant"), 0
    )
    known = Counts(
        **{"exposures": frame.height, "customers": frame.height, "analysed": frame.height}
        | empty
        | counts
    )
    return analyse(experiment, METRICS, Measured(frame, NO_DAYS), known, as_of)  # type: ignore[arg-type]


SAME = {"control": 0.2, "banner": 0.2}
MORE = {"control": 0.2, "banner": 0.3}
LESS = {"control": 0.3, "banner": 0.2}


@pytest.mark.parametrize(
    ("rates", "decision"),
    [
        (SAME, Decision.NO_DIFFERENCE_SHOWN),
        (MORE, Decision.BETTER),
        (LESS, Decision.WORSE),
    ],
)
@pytest.mark.parametrize("experiment", [EXPERIMENT, SEQUENCE])
def test_the_verdict_after_the_end(
    rates: dict[str, float], decision: Decision, experiment: Experiment
) -> None:
    result = analysed(customers(rates), experiment)
    assert result.verdict.decision is decision
    assert result.primary[0].significant is (decision is not Decision.NO_DIFFERENCE_SHOWN)
    low, high = result.primary[0].absolute.low, result.primary[0].absolute.high
    assert low is not None
    assert high is not None
    assert (low < 0 < high) is not result.primary[0].significant


def effects(result: Result) -> list[object]:
    names = ("primary", "guardrails", "secondary", "segments", "novelty", "over_time")
    return [item for name in names for item in getattr(result, name)]


def test_no_effect_is_shown_while_the_sample_ratio_fails() -> None:
    frame = customers(MORE)
    lost = frame.filter(~pl.col("user_id").str.contains("banner.*[05]$"))
    result = analysed(lost)
    assert not result.sample_ratio.ok
    assert result.verdict.decision is Decision.SAMPLE_RATIO_FAILS
    assert effects(result) == []


def test_no_effect_is_shown_while_a_variant_is_unknown() -> None:
    result = analysed(customers(MORE), unknown_variant=3)
    assert result.verdict.decision is Decision.UNKNOWN_VARIANT
    assert "renamed" in result.verdict.text
    assert effects(result) == []


def test_a_fixed_horizon_shows_guardrails_alone_before_its_end() -> None:
    result = analysed(customers(MORE), as_of=END)
    assert result.verdict.decision is Decision.RUNNING
    assert effects(result) == [*result.guardrails]
    assert all(item.always_valid for item in result.guardrails)


def test_a_confidence_sequence_may_be_read_at_any_time() -> None:
    frame = customers(MORE).with_columns(
        pl.when(pl.col("exposed_at") <= at(5)).then(name).alias(name) for name in NAMES
    )
    result = analysed(frame, SEQUENCE, at(12))
    assert result.verdict.decision is Decision.BETTER
    assert any("window of 7 days is open" in caveat for caveat in result.caveats)
    assert [look.day for look in result.over_time] == [
        (START + timedelta(days=7 + n)).date() for n in range(5)
    ]
    # Whoever was exposed in the first five days.
    assert result.over_time[-1].result.treatment_customers == 1_429


@pytest.mark.parametrize(
    ("sessions", "state"),
    [(0.8, GuardrailState.HARMED), (1.0, GuardrailState.SAFE), (0.96, GuardrailState.UNDECIDED)],
)
def test_a_guardrail_compares_its_interval_with_the_tolerated_harm(
    sessions: float, state: GuardrailState
) -> None:
    result = analysed(customers(MORE, sessions=sessions))
    assert result.guardrails[0].guardrail is state
    harmed = state is GuardrailState.HARMED
    assert (result.verdict.decision is Decision.GUARDRAIL_HARMED) is harmed


def test_a_metric_that_should_fall_is_harmed_by_a_rise() -> None:
    metrics = [replace(metric, higher_is_better=metric.name != "sessions") for metric in METRICS]
    frame = customers(MORE, sessions=1.2)
    counts = analysed(frame).counts
    result = analyse(EXPERIMENT, metrics, Measured(frame, NO_DAYS), counts, AFTERWARDS)
    assert result.guardrails[0].guardrail is GuardrailState.HARMED


def test_the_level_is_shared_by_all_variants_and_metrics() -> None:
    three = replace(
        EXPERIMENT, variants=(Variant("control", 1), Variant("banner", 1), Variant("mail", 1))
    )
    result = analysed(customers({**MORE, "mail": 0.2}), three)
    assert [item.comparisons for item in result.primary] == [2, 2]
    assert [item.comparisons for item in result.secondary] == [4] * 4
    assert [item.confidence for item in result.primary] == [0.975] * 2
    assert result.verdict.variant == "banner"
    mail = result.primary[1]
    assert mail.adjusted_p_value == pytest.approx(min(1, 2 * (mail.p_value or 0)))


def test_segments_are_corrected_and_small_ones_are_named() -> None:
    frame = customers(MORE)
    tiny = frame.with_columns(
        pl.when(pl.col("user_id").str.ends_with("77"))
        .then(pl.lit("tiny"))
        .otherwise("segment")
        .alias("segment")
    )
    result = analysed(tiny)
    assert {item.segment for item in result.segments} == {"new", "old"}
    assert {item.comparisons for item in result.segments} == {2}
    assert any("tiny" in caveat for caveat in result.caveats)


def test_what_is_left_out_is_said() -> None:
    result = analysed(
        customers(SAME),
        repeats=5,
        in_two_variants=4,
        before_start=3,
        after_end=2,
        erased=1,
        assigned=16_000,
    )
    text = " ".join(result.caveats)
    for words in (
        "4 customers have seen two variants",
        "3 customers were exposed before the start",
        "2 customers were exposed only after the end",
        "1 customers have nothing in the lake and are left out: they were erased",
        "5 repeated exposures",
        "50.0% of the 16,000 assigned",
    ):
        assert words in text


def test_before_the_start_and_without_exposures() -> None:
    frame = customers(SAME).clear()
    early = analysed(frame, as_of=at(-1))
    assert early.verdict.decision is Decision.NOT_STARTED
    assert analysed(frame).verdict.decision is Decision.NO_EXPOSURES


def test_one_customer_gives_no_interval_and_no_error() -> None:
    result = analysed(customers(SAME, each=1))
    assert result.primary[0].absolute.low is None
    assert result.verdict.decision is Decision.NO_DIFFERENCE_SHOWN


def test_a_result_is_json() -> None:
    content = json.loads(json.dumps(analysed(customers(MORE), SEQUENCE).as_json()))
    assert content["verdict"]["decision"] == "better"
    assert content["as_of"] == AFTERWARDS.isoformat()
