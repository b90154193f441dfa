"""`explain`: what it prints, what it returns, and what it says of a profile that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from customer_profiles.governance import cli
from customer_profiles.governance.cli import main
from customer_profiles.governance.explain import EXPLAINED
from customer_profiles.lake.profiles import read_profiles, write_profiles
from customer_profiles.processing.batch import process
from tests.unit.processing.fakes import Pipeline, message, user_in

CUSTOMER = user_in(0)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    """A lake with two purchases of one customer."""
    pipeline = Pipeline(monkeypatch, tmp_path)
    for number in (1, 2):
        pipeline.topics.produce(
            message(CUSTOMER, event_type="purchase", price=f"{number}.00", source_row=number)
        )
        process(pipeline.context())
    monkeypatch.chdir(tmp_path)
    for name in ("SEGMENTS", "LOG_FORMAT", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MINIO_ROOT_USER", "u")
    monkeypatch.setenv("MINIO_ROOT_PASSWORD", "p")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(cli, "S3ObjectStore", lambda _: pipeline.store)
    return pipeline


@pytest.fixture
def run(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["explain", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def change(pipeline: Pipeline, **values: pl.Expr) -> None:
    """Write other values into the stored profile."""
    stored = read_profiles(pipeline.store, 0)
    changed = stored.profiles.with_columns(**values)
    write_profiles(pipeline.store, 0, changed, stored.through_batch, stored.etag)


def test_a_field_is_explained_by_its_events(run: Run) -> None:
    code, out, err = run(CUSTOMER, "--field", "total_revenue")
    assert (code, err) == (0, "")
    assert out.startswith(f"Customer {CUSTOMER}, bucket 0, through batch 2: 2 events in 2")
    assert "total_revenue" in out
    assert "total_events" not in out
    assert "3.00" in out


def test_without_a_field_all_of_them_are_explained(run: Run) -> None:
    code, out, _ = run(CUSTOMER)
    assert code == 0
    for field in EXPLAINED:
        assert field in out


def test_json_has_all_events_and_what_is_wrong(run: Run) -> None:
    code, out, _ = run(CUSTOMER, "--field", "total_purchases", "--json")
    assert code == 0
    content = json.loads(out)
    assert CUSTOMER in json.dumps(content)
    assert "f.csv" in out


def test_an_earlier_batch_is_explained_without_a_profile(run: Run) -> None:
    code, out, err = run(CUSTOMER, "--through", "1", "--field", "total_revenue")
    assert (code, err) == (0, "")
    assert "through batch 1: 1 events" in out


def test_a_profile_with_another_value_is_an_error_with_the_next_command(
    run: Run, pipeline: Pipeline
) -> None:
    change(pipeline, total_events=pl.lit(9, pl.Int64))
    code, _, err = run(CUSTOMER)
    assert code == 1
    assert err == (
        "error: the stored profile has other values: total_events.\n"
        "`make verify DEEP=1` says what is wrong, and `make repair` mends it.\n"
    )
    assert run(CUSTOMER, "--field", "total_purchases")[0] == 0


def test_a_segment_of_older_rules_asks_for_a_rebuild(run: Run, pipeline: Pipeline) -> None:
    change(pipeline, customer_segment=pl.lit("Old Segment"), segments_version=pl.lit(999, pl.Int64))
    code, _, err = run(CUSTOMER)
    assert code == 1
    assert "other values: customer_segment." in err
    assert "`make rebuild` applies these" in err


def test_a_profile_that_is_missing_is_told_after_its_events(run: Run, pipeline: Pipeline) -> None:
    stored = read_profiles(pipeline.store, 0)
    empty = stored.profiles.clear()
    write_profiles(pipeline.store, 0, empty, stored.through_batch, stored.etag)
    code, out, err = run(CUSTOMER, "--field", "total_events")
    assert code == 1
    assert "2 events in 2" in out
    assert "The profile is missing from the lake; run `make process`" in err


def test_a_customer_whom_nobody_knows_is_an_error(run: Run) -> None:
    code, out, err = run("987654321")
    assert (code, out) == (1, "")
    assert "no events of a customer 987654321" in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("", "required: command"),
        ("explain", "required: user_id"),
        ("explain 7 --field shoe_size", "invalid choice: 'shoe_size'"),
        ("explain 7 --through x", "invalid int value: 'x'"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments.split())
    assert refused.value.code == 2
    assert problem in capsys.readouterr().err


def test_help_says_what_the_exit_code_means(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", "--help"])
    assert ended.value.code == 0
    assert "Exit code 1: they do not." in " ".join(capsys.readouterr().out.split())
