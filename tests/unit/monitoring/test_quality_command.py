"""The command of data quality: findings, exit codes, and the rows behind a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmarks.folder_lake import write_lake
from customer_profiles.lake.events import EVENT_SCHEMA
from customer_profiles.lake.layout import REJECTED_ROWS
from customer_profiles.monitoring.quality import cli, evaluation
from customer_profiles.monitoring.quality.cli import MAX_AFTER_A_RUN, main
from customer_profiles.monitoring.quality.evaluation import Evaluation, index
from customer_profiles.monitoring.quality.rows import COLUMNS, SHOWN_ROWS, find_rows
from customer_profiles.quality.checks import DEFAULT_CHECKS
from customer_profiles.quality.evaluate import evaluate, findings_of
from customer_profiles.quality.findings import Finding, Severity
from customer_profiles.quality.history import History, Observation, Series
from customer_profiles.quality.news import open_findings
from customer_profiles.quality.watch import Verdict
from customer_profiles.search.client import ElasticsearchConfig
from customer_profiles.search.errors import IndexUnavailableError
from tests.support import MemoryObjectStore

DAY = date(2021, 1, 5)
NAMES = {"MINIO_ROOT_USER": "u", "MINIO_ROOT_PASSWORD": "p", "ELASTIC_PASSWORD": "e"}


def stored(*rows: dict[str, Any]) -> MemoryObjectStore:
    """A lake of two buckets with some events, all of `DAY` unless they say another time."""
    usual = {
        **dict.fromkeys(EVENT_SCHEMA),
        "event_time": datetime(2021, 1, 5, 12, tzinfo=UTC),
        "event_type": "view",
        "brand": "bosch",
        "category_root": "auto",
        "price": Decimal(10),
        "user_id": "1",
        "source": "shop",
        "kafka_partition": 0,
    }
    events = [
        {**usual, "event_id": str(number), "kafka_offset": number, **row}
        for number, row in enumerate(rows)
    ]
    store = MemoryObjectStore()
    write_lake(store, pl.DataFrame(events, schema=EVENT_SCHEMA), 2)
    return store


def found(store: MemoryObjectStore, *series: str) -> list[dict[str, Any]]:
    return find_rows(store, Series(*series), DAY).to_dicts()


def test_rows_without_a_value_are_shown_in_the_order_of_time() -> None:
    at = [datetime(2021, 1, 5, hour, tzinfo=UTC) for hour in (9, 7, 8)]
    store = stored(
        {"brand": None, "event_time": at[0], "user_id": "1"},
        {"brand": None, "event_time": at[1], "user_id": "2"},
        {"event_time": at[2]},
        {"brand": None, "event_time": datetime(2021, 1, 6, tzinfo=UTC)},
    )
    rows = found(store, "null_share", "brand")
    assert [row["event_time"] for row in rows] == [at[1], at[0]]
    assert list(rows[0]) == COLUMNS


def test_prices_are_shown_from_the_highest_on() -> None:
    store = stored(*({"price": Decimal(price), "user_id": str(price)} for price in range(1, 31)))
    prices = [row["price"] for row in found(store, "price_tail")]
    assert prices == [Decimal(price) for price in range(30, 30 - SHOWN_ROWS, -1)]


@pytest.mark.parametrize(
    ("series", "users"),
    [
        (("event_type_share", "cart"), ["2"]),
        (("category_price_median", "(none)"), ["3"]),
        (("source_volume", "", "other"), ["4"]),
        (("volume",), ["1", "2", "3", "4"]),
    ],
)
def test_rows_are_those_that_the_value_is_about(series: tuple[str, ...], users: list[str]) -> None:
    store = stored(
        {}, {"user_id": "2", "event_type": "cart"}, {"user_id": "3", "category_root": None},
        {"user_id": "4", "source": "other"},
    )  # fmt: skip
    assert sorted(row["user_id"] for row in found(store, *series)) == users


def test_repeats_and_busy_customers_come_with_their_number() -> None:
    store = stored(
        {"event_id": "a", "user_id": "1"},
        {"event_id": "a", "user_id": "1"},
        {"event_id": "b", "user_id": "1"},
        {"event_id": "c", "user_id": "2"},
    )
    repeats = found(store, "repeated_share")
    assert [(row["user_id"], row["times"]) for row in repeats] == [("1", 2), ("1", 2)]
    busy = found(store, "customer_events")
    assert [(row["user_id"], row["times"]) for row in busy] == [("1", 3)] * 3 + [("2", 1)]


def test_a_lake_without_events_has_no_rows() -> None:
    rows = find_rows(MemoryObjectStore(), Series("volume"), DAY)
    assert (rows.height, rows.columns) == (0, COLUMNS)


def evaluated(
    verdicts: list[Verdict], findings: list[Finding], newest: date | None, missing: list[int]
) -> Evaluation:
    opened = open_findings(findings, newest, None, 1, datetime(2021, 1, 9, tzinfo=UTC))
    return Evaluation(verdicts, findings, newest, missing, opened)


def half_of_the_rows() -> Evaluation:
    """Forty days with 5,000 rows each, and one with half of them."""
    days = [date.fromordinal(DAY.toordinal() - number) for number in range(41)]
    rows = {day: Observation(2_500 if day == DAY else 5_000, 5_000) for day in days}
    verdicts = evaluate(History({Series("volume"): rows}), DEFAULT_CHECKS)
    return evaluated(verdicts, findings_of(verdicts, DEFAULT_CHECKS), DAY, [])


def with_severity(severity: Severity) -> Evaluation:
    found = half_of_the_rows()
    findings = [replace(finding, severity=severity) for finding in found.findings]
    return evaluated(list(found.verdicts), findings, DAY, [])


class Quality:
    """What the command evaluates and keeps, in place of the servers."""

    def __init__(self) -> None:
        self.evaluation = half_of_the_rows()
        self.kept: list[Evaluation] = []
        self.indexed: list[Evaluation] = []
        self.index_works = True
        self.store = MemoryObjectStore()

    def index(self, _config: object, evaluation: Evaluation, _checks: object) -> None:
        if not self.index_works:
            raise IndexUnavailableError("Elasticsearch does not answer.\nRun `make up`.")
        self.indexed.append(evaluation)


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Quality:
    quality = Quality()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("LOG_FORMAT", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in NAMES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(cli, "S3ObjectStore", lambda _: quality.store)
    monkeypatch.setattr(cli, "evaluate_lake", lambda *_: quality.evaluation)
    monkeypatch.setattr(cli, "keep", lambda _store, kept: quality.kept.append(kept))
    monkeypatch.setattr(cli, "index", quality.index)
    return quality


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(quality: Quality, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.mark.parametrize(
    ("severity", "code"), [(Severity.WARN, 0), (Severity.FAIL, 3), (Severity.QUARANTINE, 4)]
)
def test_the_exit_code_is_that_of_the_worst_open_finding(
    run: Run, quality: Quality, severity: Severity, code: int
) -> None:
    quality.evaluation = with_severity(severity)
    returned, out, _ = run()
    assert returned == code
    assert f"Data quality on {DAY}" in out
    assert f"{severity}: " in out
    assert f"make quality SHOW=volume@{DAY}" in out
    assert out.endswith("No earlier day has findings.\n")
    assert quality.kept == quality.indexed == [quality.evaluation]


def test_earlier_days_are_counted_and_do_not_fail(run: Run, quality: Quality) -> None:
    earlier = [
        replace(finding, day=date(2021, 1, day))
        for day in (2, 3)
        for finding in quality.evaluation.findings
    ]
    quality.evaluation = evaluated(list(quality.evaluation.verdicts), earlier, DAY, [])
    code, out, _ = run()
    assert code == 0
    assert "2 earlier days have findings, the last one 2021-01-03." in out


def test_a_lake_without_a_closed_day_is_no_failure(run: Run, quality: Quality) -> None:
    quality.evaluation = evaluated([], [], None, [7])
    code, out, _ = run()
    assert code == 0
    assert "Some micro-batches have no statistics" in out
    assert "No event day is closed yet: nothing can be said." in out


def test_an_index_that_is_away_is_told_and_what_was_found_is_kept(
    run: Run, quality: Quality
) -> None:
    quality.index_works = False
    code, out, _ = run()
    assert code == 3
    assert "The index is behind: Elasticsearch does not answer." in out
    assert quality.kept == [quality.evaluation]


def test_the_rows_of_a_value_are_shown_and_nothing_is_evaluated(run: Run, quality: Quality) -> None:
    quality.store = stored({"brand": None}, {})
    code, out, _ = run("--show", f"null_share/brand@{DAY}")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == f"1 rows of null_share/brand@{DAY}, the most telling first"
    assert lines[1] == ",".join(COLUMNS)
    assert quality.kept == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--show", "brand"), "brand names no value"),
        (("--contract", "none.yaml"), "The contract cannot be read"),
        (("--calendar", "none.yaml"), "The calendar cannot be read"),
    ],
)
def test_what_cannot_be_used_is_an_error_and_nothing_is_kept(
    run: Run, quality: Quality, arguments: Sequence[str], problem: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out, quality.kept) == (1, "", [])
    assert problem in err


class Indices:
    """Keeps the documents of each index."""

    def __init__(self, _config: object) -> None:
        self.deleted: list[str] = []
        self.documents: dict[str, dict[str, Any]] = {}

    def delete(self, name: str) -> None:
        self.deleted.append(name)

    def create(self, name: str, properties: dict[str, Any]) -> None:
        self.documents[name] = {}
        self.fields = properties

    def index_documents(self, name: str, documents: Any) -> None:
        for key, content in documents:
            assert set(content) <= set(self.fields)
            self.documents[name][key] = content


def test_values_and_findings_become_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    indices = Indices(None)
    monkeypatch.setattr(evaluation, "MetricsIndices", lambda _: indices)
    found = half_of_the_rows()
    index(ElasticsearchConfig("http://elasticsearch"), found, DEFAULT_CHECKS)
    values, findings = (indices.documents[name] for name in ("quality_metrics", "quality_findings"))
    assert values[f"volume|||{DAY}"]["value"] == 2_500
    assert len(values) == len(found.verdicts)
    ((_, finding),) = findings.items()
    assert (finding["check"], finding["time"], finding["value"]) == ("volume", str(DAY), 2_500)
    # A finding that was wrong must not stay.
    assert indices.deleted == ["quality_findings"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"counts": [["2021-01-05", "a.csv", "price_invalid", 3],
                     ["2021-01-05", "b.csv", "price_invalid", 4]]},
         {(DAY, "price_invalid"): 7}),
        ({"counts": [["no day", "a.csv", "price_invalid", 3]]}, {}),
        ({}, {}),
    ],
)  # fmt: skip
def test_rejected_rows_are_added_up_over_sources(
    content: dict[str, Any], expected: dict[tuple[date, str], int]
) -> None:
    store = MemoryObjectStore()
    store.put_json(REJECTED_ROWS, content)
    assert dict(evaluation._rejected(store)) == expected


def test_after_a_run_a_few_findings_are_shown_and_where_the_others_are(
    run: Run, quality: Quality, monkeypatch: pytest.MonkeyPatch
) -> None:
    (finding,) = quality.evaluation.findings
    findings = [replace(finding, field=f"f{number}") for number in range(5)]
    five = evaluated(list(quality.evaluation.verdicts), findings, DAY, [])
    monkeypatch.setattr(cli, "evaluate_if_due", lambda *_: five)
    code, out, _ = run("--if-due")
    assert code == 0
    assert out.count("times before") == MAX_AFTER_A_RUN
    assert out.splitlines()[-1] == "… and 2 more: make quality"
