"""A result in words: what the terminal and the HTML report say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from customer_profiles.experimentation.result import (
    Counts,
    Decision,
    GuardrailState,
    Interval,
    MetricResult,
    Result,
)

if TYPE_CHECKING:
    from rich.console import Console

_STYLES = {
    Decision.BETTER: "bold green",
    Decision.WORSE: "bold red",
    Decision.GUARDRAIL_HARMED: "bold red",
    Decision.SAMPLE_RATIO_FAILS: "bold red",
    Decision.UNKNOWN_VARIANT: "bold red",
}
_GUARDRAILS = {
    GuardrailState.HARMED: "harmed",
    GuardrailState.SAFE: "safe",
    GuardrailState.UNDECIDED: "undecided",
}
NO_EFFECT = (
    "No effect is shown while the sample ratio fails: customers are missing from a variant, and "
    "they are not a random part."
)


def print_result(result: Result, console: Console) -> None:
    """Print the verdict, its numbers and what a reader has to know."""
    console.print(f"{result.experiment}, as of {result.as_of:%Y-%m-%d %H:%M} UTC")
    console.print(result.verdict.text, style=_STYLES.get(result.verdict.decision, "bold"))
    console.print("")
    for line in count_lines(result):
        console.print(line)
    if result.verdict.decision is Decision.SAMPLE_RATIO_FAILS:
        console.print(NO_EFFECT, style="yellow")
    for title, items in sections(result):
        console.print("")
        console.print(title, style="bold")
        for item in items:
            console.print("  " + metric_line(item))
    if result.caveats:
        console.print("")
        console.print("What to know", style="bold")
        for caveat in result.caveats:
            console.print(f"  {caveat}")


def sections(result: Result) -> list[tuple[str, tuple[MetricResult, ...]]]:
    """Return the titles and metrics to show; none while the sample ratio fails."""
    if result.verdict.decision is Decision.SAMPLE_RATIO_FAILS:
        return []
    named = [
        ("Primary metric", result.primary),
        ("Guardrails", result.guardrails),
        ("Secondary metrics", result.secondary),
        ("By segment (exploratory)", result.segments),
    ]
    return [(title, items) for title, items in named if items]


def metric_line(item: MetricResult) -> str:
    """Return one comparison as a line of text."""
    who = item.segment or item.variant
    if item.absolute.value is None:
        return f"{who}: {item.metric}: no estimate yet ({_customers(item)})"
    values = f"{number(item.treatment)} against {number(item.control)}"
    interval = f"{relative(item.relative)}, {confidence(item)}"
    words = [f"{who}: {item.metric} {values}; {interval}"]
    if item.adjusted_p_value is not None:
        words.append(f"p {p_value(item.adjusted_p_value)}")
    if item.guardrail:
        words.append(f"{_GUARDRAILS[item.guardrail]} at {percent(item.tolerated_harm)} harm")
    elif item.segment is None:
        words.append("significant" if item.significant else "not significant")
    if item.variance_reduction is not None and item.variance_reduction > 0:
        words.append(f"covariate takes {percent(item.variance_reduction)} of the variance")
    words.append(_customers(item))
    return "; ".join(words)


def _customers(item: MetricResult) -> str:
    return f"{item.treatment_customers:,} and {item.control_customers:,} customers"


def count_lines(result: Result) -> list[str]:
    """Return what became of the exposures, and the check of the sample ratio."""
    counts, ratio = result.counts, result.sample_ratio
    lines = [
        f"{counts.exposures:,} exposures of {counts.customers:,} customers; "
        f"{counts.analysed:,} are analysed"
    ]
    lines += [f"  left out: {line}" for line in left_out(counts)]
    if counts.dilution:
        lines.append(
            f"  {counts.assigned:,} customers were assigned; {percent(counts.dilution)} of them "
            "have seen nothing, and are not analysed"
        )
    if ratio.p_value is not None:
        shares = ", ".join(
            f"{count.variant} {count.customers:,} (expected {count.expected:,.0f})"
            for count in ratio.counts
        )
        state = "passes" if ratio.ok else "FAILS"
        lines.append(f"Sample ratio {state} (p {p_value(ratio.p_value)}): {shares}")
    return lines


def left_out(counts: Counts) -> list[str]:
    """Return which customers are not analysed, and why."""
    reasons = {
        "seen in two variants": counts.in_two_variants,
        "exposed before the start": counts.before_start,
        "exposed only after the end": counts.after_end,
        "no longer in the lake (erased), or not yet": counts.erased,
        "exposed to a variant that the file does not have": counts.unknown_variant,
    }
    return [f"{count:,} {reason}" for reason, count in reasons.items() if count]


def confidence(item: MetricResult) -> str:
    """Name the interval."""
    kind = "confidence sequence" if item.always_valid else "interval"
    return f"{percent(item.confidence, 0 if item.confidence * 100 % 1 < 1e-9 else 2)} {kind}"


def relative(interval: Interval) -> str:
    """Return a relative effect with its interval, such as `+5.1 % [+1.2 %, +9.0 %]`."""
    if interval.value is None:
        return "no relative effect"
    ends = (
        "unbounded" if end is None else f"{100 * end:+.1f} %"
        for end in (interval.low, interval.high)
    )
    return f"{100 * interval.value:+.1f} % [{', '.join(ends)}]"


def number(value: float | None) -> str:
    """Return a metric's value with four digits that count."""
    return "none" if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def percent(share: float | None, decimals: int = 1) -> str:
    """Return a share as a percentage."""
    return "none" if share is None else f"{100 * share:.{decimals}f} %"


def p_value(value: float) -> str:
    """Return a p-value as `= 0.0123` or `< 0.0001`."""
    return "< 0.0001" if value < 0.0001 else f"= {value:.4f}"
