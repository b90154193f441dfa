"""Which finding explains which others of the same day: one fault is one alert."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date
from math import log

from customer_profiles.quality.findings import Finding

SIMILAR = 1.8
"""A source whose deviation is less than this many times that of all rows just follows them."""
_MONEY = frozenset({"revenue"})
_PEOPLE = frozenset(
    {"customers", "sessions_per_customer", "new_customer_share", "conversion", "revenue"}
)
_MIX = frozenset(
    {
        "clock_shift",
        "null_share",
        "event_type_share",
        "unknown_share",
        "price_median",
        "price_tail",
        "category_price_median",
    }
)
CAUSES: dict[str, frozenset[str]] = {
    "repeated_share": frozenset({"volume", "source_volume", "late_share"}) | _MIX | _PEOPLE,
    "customer_events": frozenset({"volume", "source_volume"}) | _MIX | _PEOPLE,
    "source_volume": frozenset({"volume"}) | _MIX | _PEOPLE,
    "volume": _PEOPLE,
    "rejected_share": frozenset({"volume", "source_volume"}) | _MIX | _PEOPLE,
    "late_share": frozenset({"volume", "source_volume"}) | _MIX | _PEOPLE,
    "clock_shift": _PEOPLE,
    "price_median": frozenset({"price_tail", "category_price_median"}) | _MONEY,
    "price_tail": frozenset({"category_price_median"}) | _MONEY,
    "event_type_share": frozenset({"conversion", "revenue"}),
    "customers": _PEOPLE - {"customers"},
}
"""What a finding of one check explains on the same day. Causes come in the order of their rank."""


def explain(findings: Sequence[Finding]) -> list[Finding]:
    """Name, for each finding, the one of the same day that explains it.

    Args:
        findings: in any order.

    Returns:
        The findings by day, those that stand for themselves first, in the order of `CAUSES`.
    """
    by_day: dict[date, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_day[finding.day].append(finding)
    explained: list[Finding] = []
    for _, group in sorted(by_day.items()):
        of_all = _sources_that_follow(group)
        causes = {finding.check for finding in group if finding.fingerprint not in of_all}
        day = [
            replace(finding, explained_by="volume")
            if finding.fingerprint in of_all
            else replace(finding, explained_by=_cause(finding.check, causes))
            for finding in group
        ]
        explained += sorted(day, key=_order)
    return explained


def _cause(check: str, causes: Collection[str]) -> str | None:
    """Return the first check among some that explains another."""
    return next(
        (cause for cause in CAUSES if cause in causes and check in CAUSES[cause] - {cause}), None
    )


def _order(finding: Finding) -> tuple[bool, int, str]:
    rank = list(CAUSES).index(finding.check) if finding.check in CAUSES else len(CAUSES)
    return finding.explained_by is not None, rank, finding.fingerprint


def _sources_that_follow(findings: Sequence[Finding]) -> set[str]:
    """Return the fingerprints of sources that only do what all rows together do."""
    total = next((_ratio(finding) for finding in findings if finding.check == "volume"), None)
    if total is None:
        return set()
    return {
        finding.fingerprint
        for finding in findings
        if finding.check == "source_volume" and 0 < _ratio(finding) / total < SIMILAR
    }


def _ratio(finding: Finding) -> float:
    """Return by how much a volume is above what was expected, as a logarithm."""
    return log(max(finding.value, 0.5) / max(finding.expected or 0.5, 0.5)) or 1e-9
