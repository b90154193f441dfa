"""The report of an experiment as one HTML file, without scripts and without a network."""

from __future__ import annotations

import tempfile
from html import escape
from pathlib import Path

from customer_profiles.common.reports import ReportError
from customer_profiles.experimentation.charts import Bar, Line, interval_chart, line_chart
from customer_profiles.experimentation.render import (
    NO_EFFECT,
    count_lines,
    metric_line,
    number,
    p_value,
    percent,
    relative,
    sections,
)
from customer_profiles.experimentation.result import Decision, MetricResult, Result

_GOOD, _BAD = (
    {Decision.BETTER},
    {
        Decision.WORSE,
        Decision.GUARDRAIL_HARMED,
        Decision.SAMPLE_RATIO_FAILS,
        Decision.UNKNOWN_VARIANT,
    },
)
STYLE = """
:root { color-scheme: light dark; --good: #1a7f37; --bad: #cf222e; --mark: #4269d0; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin: 0; font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.verdict { border-left: .4rem solid var(--mark); padding: .6rem 1rem; font-size: 1.15rem;
  background: #8881; } .good { border-color: var(--good); } .bad { border-color: var(--bad); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; }
tr { border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; }
td + td { white-space: nowrap; }
svg { width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: currentColor; }
.muted { opacity: .75; }
"""


def write_html(result: Result, hypothesis: str, folder: Path) -> Path:
    """Write the report.

    Args:
        result: what the analysis says.
        hypothesis: of the experiment.
        folder: where `experiment-NAME.html` goes.

    Returns:
        The file.

    Raises:
        ReportError: the folder is not writable.
    """
    content = to_html(result, hypothesis)
    return write_page(content, f"experiment-{result.experiment}", folder)


def write_page(content: str, name: str, folder: Path) -> Path:
    """Write a page atomically; return the file.

    Raises:
        ReportError: the folder is not writable.
    """
    path = folder / f"{name}.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
            file.write(content)
        Path(file.name).replace(path)
    except OSError as error:
        raise ReportError(
            f"The report {path} cannot be written: {error.strerror}.\n"
            "Name another folder: REPORTS in .env."
        ) from error
    return path


def to_html(result: Result, hypothesis: str) -> str:
    """Return the report as HTML. All texts of others are escaped."""
    decision = result.verdict.decision
    tone = "good" if decision in _GOOD else "bad" if decision in _BAD else ""
    parts = [
        f"<h1>{escape(result.experiment)}</h1>",
        f'<p class="muted">{escape(hypothesis)} As of {result.as_of:%Y-%m-%d %H:%M} UTC; '
        f"method {escape(result.method)}, α = {result.alpha:g}.</p>",  # noqa: RUF001
        f'<p class="verdict {tone}">{escape(result.verdict.text)}</p>',
        *_customers(result),
    ]
    if decision is Decision.SAMPLE_RATIO_FAILS:
        parts.append(f"<p><strong>{NO_EFFECT}</strong></p>")
    else:
        parts += _effects(result)
    if result.caveats:
        items = "".join(f"<li>{escape(caveat)}</li>" for caveat in result.caveats)
        parts.append(f"<h2>What to know</h2><ul>{items}</ul>")
    return page(f"{result.experiment}: experiment", "\n".join(parts))


def page(title: str, body: str) -> str:
    """Return a page without scripts.

    Args:
        title: any text.
        body: HTML.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n"
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _customers(result: Result) -> list[str]:
    """Return the sample ratio and what became of the exposures."""
    rows = "".join(
        f"<tr><td>{escape(count.variant)}</td><td>{count.customers:,}</td>"
        f"<td>{count.expected:,.0f}</td></tr>"
        for count in result.sample_ratio.counts
    )
    lines = "<br>".join(escape(line.strip()) for line in count_lines(result))
    table = (
        "<table><tr><th>Variant</th><th>Customers</th><th>Expected by the weights</th></tr>"
        f"{rows}</table>"
    )
    return ["<h2>Customers</h2>", f"<p>{lines}</p>", table if rows else ""]


def _effects(result: Result) -> list[str]:
    parts: list[str] = []
    for title, items in sections(result):
        parts.append(f"<h2>{escape(title)}</h2>")
        bars = [
            Bar(_label(item), item.relative.value, item.relative.low, item.relative.high)
            for item in items
            if item.relative.value is not None
        ]
        if bars:
            parts.append(interval_chart(bars, "relative effect against the control"))
        parts.append(_table(items))
    parts += _over_time(result)
    parts += _novelty(result)
    return parts


def _label(item: MetricResult) -> str:
    return f"{item.metric}: {item.segment or item.variant}"


def _table(items: tuple[MetricResult, ...]) -> str:
    rows = "".join(
        f'<tr title="{escape(metric_line(item))}"><td>{escape(_label(item))}</td>'
        f"<td>{number(item.control)}</td><td>{number(item.treatment)}</td>"
        f"<td>{escape(relative(item.relative))}</td>"
        f"<td>{escape(_p_value(item))}</td>"
        f"<td>{percent(item.variance_reduction)}</td>"
        f"<td>{item.guardrail or ('yes' if item.significant else 'no')}</td></tr>"
        for item in items
    )
    return (
        "<table><tr><th>Metric</th><th>Control</th><th>Treatment</th><th>Effect and interval</th>"
        "<th>p, corrected</th><th>Variance taken by the covariate</th>"
        f"<th>Significant, or guardrail</th></tr>{rows}</table>"
    )


def _p_value(item: MetricResult) -> str:
    if item.adjusted_p_value is None:
        return ""
    return p_value(item.adjusted_p_value).removeprefix("= ")


def _over_time(result: Result) -> list[str]:
    """Return the chart of the primary metric at each look."""
    parts: list[str] = []
    for variant in dict.fromkeys(look.result.variant for look in result.over_time):
        looks = [look for look in result.over_time if look.result.variant == variant]
        points = [
            (
                str(look.day),
                look.result.relative.value,
                look.result.relative.low,
                look.result.relative.high,
            )
            for look in looks
        ]
        parts.append(line_chart(Line(variant, points), "relative effect so far, any-time interval"))
    return ["<h2>Over time</h2>", *parts] if any(parts) else []


def _novelty(result: Result) -> list[str]:
    """Return the chart of the effect by day since the exposure."""
    parts: list[str] = []
    for variant in dict.fromkeys(effect.variant for effect in result.novelty):
        points = [
            (f"day {effect.day}", effect.absolute.value, effect.absolute.low, effect.absolute.high)
            for effect in result.novelty
            if effect.variant == variant
        ]
        parts.append(line_chart(Line(variant, points, share=False), "effect on that day"))
    title = "<h2>By day since the exposure (exploratory)</h2>"
    return [title, *parts] if any(parts) else []
