"""A result as documents of the index `experiment_results`, for the page and for Kibana."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from customer_profiles.experimentation.result import Decision, MetricResult, Result, Role

MAX_LABEL = 200
Document = tuple[str, Mapping[str, Any]]


def to_documents(result: Result) -> Iterator[Document]:
    """Yield ids and documents with the fields of `search.experiments.RESULT_FIELDS`.

    The ids depend on what a document is about, so that a newer analysis replaces an older one. No
    effect is among them while the sample ratio fails.
    """
    name = result.experiment
    common = {"experiment": name, "time": _time(result.as_of)}
    verdict = {
        **common,
        "kind": "verdict",
        "decision": str(result.verdict.decision),
        "text": result.verdict.text,
        "method": result.method,
        "variant": result.verdict.variant,
        "customers": result.counts.analysed,
        "p_value": result.sample_ratio.p_value,
    }
    yield f"{name}|verdict", verdict
    for count in result.sample_ratio.counts:
        yield (
            f"{name}|sample_ratio|{count.variant}",
            {
                **common,
                "kind": "sample_ratio",
                "variant": count.variant,
                "label": f"{name}: {count.variant}",
                "customers": count.customers,
                "expected": count.expected,
                "p_value": result.sample_ratio.p_value,
            },
        )
    if result.verdict.decision is Decision.SAMPLE_RATIO_FAILS:
        return
    for item in (*result.primary, *result.guardrails, *result.secondary, *result.segments):
        key = f"{name}|{item.role}|{item.metric}|{item.variant}|{item.segment or ''}"
        yield key, {**common, "kind": "comparison", **_comparison(name, item)}
    for look in result.over_time:
        item = look.result
        key = f"{name}|look|{item.metric}|{item.variant}|{look.day.isoformat()}"
        time = _time(datetime(look.day.year, look.day.month, look.day.day, tzinfo=UTC))
        yield key, {**common, "kind": "look", **_comparison(name, item), "time": time}


def _comparison(experiment: str, item: MetricResult) -> dict[str, Any]:
    parts = [experiment, item.metric, item.variant, item.segment or ""]
    label = ", ".join(part for part in parts if part)
    return {
        "metric": item.metric,
        "role": str(item.role),
        "variant": item.variant,
        "segment": item.segment,
        "label": label[:MAX_LABEL],
        "customers": item.control_customers + item.treatment_customers,
        "control": item.control,
        "treatment": item.treatment,
        "effect": item.absolute.value,
        "low": item.absolute.low,
        "high": item.absolute.high,
        "relative": item.relative.value,
        "relative_low": item.relative.low,
        "relative_high": item.relative.high,
        "p_value": item.adjusted_p_value,
        "significant": item.significant,
        "exploratory": item.role is Role.SEGMENT,
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
