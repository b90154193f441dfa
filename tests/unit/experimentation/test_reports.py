"""What a result looks like on the terminal, as HTML and as documents."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from customer_profiles.common.console import create_console
from customer_profiles.experimentation.html_report import to_html, write_html
from customer_profiles.experimentation.render import metric_line, print_result
from customer_profiles.experimentation.result import (
    Counts,
    DayEffect,
    Decision,
    GuardrailState,
    Interval,
    Look,
    MetricResult,
    Result,
    Role,
    SampleRatio,
    VariantCount,
    Verdict,
)
from customer_profiles.experimentation.result_documents import to_documents
from customer_profiles.search.experiments import RESULT_FIELDS

METRIC = MetricResult(
    metric="conversion",
    role=Role.PRIMARY,
    variant="free-shipping",
    segment=None,
    control_customers=500,
    treatment_customers=510,
    control=0.2,
    treatment=0.25,
    absolute=Interval(0.05, 0.01, 0.09),
    relative=Interval(0.25, 0.04, 0.5),
    confidence=0.95,
    comparisons=1,
    p_value=0.012,
    adjusted_p_value=0.012,
    significant=True,
    always_valid=False,
    variance_reduction=0.1,
    cap=None,
    capped_customers=0,
    better=True,
)
OPEN = replace(
    METRIC,
    absolute=Interval(None, None, None),
    relative=Interval(None, None, None),
    adjusted_p_value=None,
    significant=False,
)
RESULT = Result(
    experiment="free-shipping",
    as_of=datetime(2021, 2, 10, 12, tzinfo=UTC),
    method="fixed_horizon",
    alpha=0.05,
    planned_customers=1000,
    verdict=Verdict(Decision.BETTER, "free-shipping is better than control.", "free-shipping"),
    counts=Counts(1100, 1040, 1010, 60, 10, 8, 5, 4, 3, 2080),
    sample_ratio=SampleRatio(
        (VariantCount("control", 500, 505.0), VariantCount("free-shipping", 510, 505.0)), 0.75, True
    ),
    primary=(METRIC,),
    guardrails=(
        replace(
            METRIC,
            role=Role.GUARDRAIL,
            metric="sessions",
            tolerated_harm=0.05,
            guardrail=GuardrailState.SAFE,
        ),
    ),
    segments=(replace(METRIC, role=Role.SEGMENT, segment="<b>Odd & old</b>"),),
    novelty=(DayEffect("free-shipping", 0, Interval(0.1, None, 0.2), 0.1, 0.2),),
    over_time=(Look(date(2021, 1, 20), METRIC), Look(date(2021, 1, 21), OPEN)),
    caveats=("A caveat.",),
)
FAILS = replace(
    RESULT,
    verdict=Verdict(Decision.SAMPLE_RATIO_FAILS, "The sample ratio fails."),
    sample_ratio=replace(RESULT.sample_ratio, p_value=1e-9, ok=False),
)
EFFECT = re.compile(r"\+25\.0 %|0\.25\b")


def printed(result: Result, capsys: pytest.CaptureFixture[str]) -> str:
    print_result(result, create_console())
    return capsys.readouterr().out


def test_the_terminal_says_the_verdict_first_and_then_its_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = printed(RESULT, capsys).splitlines()
    assert lines[1] == "free-shipping is better than control."
    text = "\n".join(lines)
    for words in (
        "1,100 exposures of 1,040 customers; 1,010 are analysed",
        "left out: 10 seen in two variants",
        "left out: 8 exposed before the start",
        "left out: 4 no longer in the lake",
        "50.0 % of them have seen nothing",
        "Sample ratio passes (p = 0.7500)",
        "+25.0 % [+4.0 %, +50.0 %], 95 % interval; p = 0.0120; significant",
        "safe at 5.0 % harm",
        "By segment (exploratory)",
        "A caveat.",
    ):
        assert words in text


def test_no_effect_is_shown_anywhere_while_the_sample_ratio_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = printed(FAILS, capsys)
    page = to_html(FAILS, "h")
    documents = dict(to_documents(FAILS))
    for shown in (text, page.partition("</style>")[2], str(documents)):
        assert not EFFECT.search(shown)
    assert "No effect is shown" in text
    assert "No effect is shown" in page
    assert {document["kind"] for document in documents.values()} == {"verdict", "sample_ratio"}
    # They can fail: the same words are there otherwise.
    assert EFFECT.search(printed(RESULT, capsys))
    assert EFFECT.search(to_html(RESULT, "h"))
    assert EFFECT.search(str(dict(to_documents(RESULT))))


def test_a_metric_without_an_estimate_says_so() -> None:
    assert "no estimate yet" in metric_line(OPEN)


class _Checker(HTMLParser):
    VOID = ("meta", "line", "circle", "polygon", "polyline", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_whole_escapes_all_texts_and_loads_nothing(tmp_path: Path) -> None:
    page = write_html(RESULT, "<script>alert(1)</script>", tmp_path).read_text()
    checker = _Checker()
    checker.feed(page)
    assert checker.open == []
    assert "script" not in checker.tags
    assert not re.search(r"https?://|src=|href=", page)
    assert page.count("<svg") == 5
    assert "&lt;b&gt;Odd" in page
    assert list(tmp_path.iterdir()) == [tmp_path / "experiment-free-shipping.html"]


def test_documents_have_the_fields_of_the_index_and_ids_of_their_own() -> None:
    documents = list(to_documents(RESULT))
    assert len({key for key, _ in documents}) == len(documents) == 8
    for _, document in documents:
        assert set(document) <= set(RESULT_FIELDS)
    kinds = [document["kind"] for _, document in documents]
    assert kinds.count("look") == 2
    look = next(document for _, document in documents if document["kind"] == "look")
    assert look["time"] == "2021-01-20T00:00:00Z"
