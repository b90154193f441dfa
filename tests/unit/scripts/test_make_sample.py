"""The synthetic file has the properties of the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from customer_profiles.contracts import COLUMNS
from customer_profiles.ingestion.validate import validate
from scripts import make_sample
from scripts.make_sample import make_events
from tests.support import ROOT

pytestmark = pytest.mark.no_cover


@pytest.fixture(scope="module")
def sample() -> pl.DataFrame:
    return make_events(make_sample.REAL_ROWS, 1)


PUBLISHED = {
    "count(*)": 885_129,
    "count(*) filter (event_type = 'view')": 793_748,
    "count(*) filter (event_type = 'cart')": 54_035,
    "count(*) filter (event_type = 'purchase')": 37_346,
    "count(distinct user_id)": 407_283,
    "count(distinct user_session)": 490_398,
    "count(distinct product_id)": 53_453,
    "count(distinct category_id)": 718,
    "count(distinct category_code)": 107,
    "count(distinct brand)": 999,
    "count(distinct price)": 12_422,
    "count(*) filter (category_code is null)": 236_219,
    "count(*) filter (brand is null)": 212_364,
    "count(*) filter (user_session is null)": 165,
    "count(distinct user_id) filter (event_type = 'purchase')": 21_304,
    "sum(price::decimal(12, 2)) filter (event_type = 'purchase')": 5_125_395.62,
    "quantile_cont(price::double, 0.25)": 21.98,
    "median(price::double)": 52.90,
    "quantile_cont(price::double, 0.75)": 130,
    "avg(price::double)": 115,
    "count(*) filter (event_time < '2020-10')": 28_000,
    "count(*) filter (event_time[:7] = '2020-10')": 161_000,
    "count(*) filter (event_time[:7] = '2020-11')": 188_000,
    "count(*) filter (event_time[:7] = '2020-12')": 153_000,
    "count(*) filter (event_time[:7] = '2021-01')": 187_000,
    "count(*) filter (event_time[:7] = '2021-02')": 167_000,
}


@pytest.mark.parametrize(("measure", "published"), PUBLISHED.items())
def test_each_measure_is_within_two_percent(
    sample: pl.DataFrame, measure: str, published: float
) -> None:
    ((measured,),) = duckdb.sql(f"select {measure} from sample").fetchall()
    assert float(measured) == pytest.approx(published, rel=0.02)


def test_as_many_rows_repeat_as_in_the_real_file(sample: pl.DataFrame) -> None:
    repeated = (
        sample.group_by(pl.all())
        .agg((pl.len().cast(pl.Int64) - 1).alias("more"))
        .filter(pl.col("more") > 0)
    )
    assert repeated.height == 629
    assert dict(repeated.group_by("event_type").agg(pl.col("more").sum()).iter_rows()) == {
        "view": 649,
        "cart": 3,
        "purchase": 3,
    }


def test_times_are_sorted_and_span_the_published_period(sample: pl.DataFrame) -> None:
    assert sample["event_time"].is_sorted()
    assert (sample["event_time"][0], sample["event_time"][-1]) == (
        "2020-09-24 11:57:06 UTC",
        "2021-02-28 23:59:09 UTC",
    )


def test_brand_and_category_belong_to_the_product(sample: pl.DataFrame) -> None:
    products = sample.select(
        "product_id", "category_id", "category_code", "brand", "price"
    ).unique()
    assert products.height == sample["product_id"].n_unique()


def test_only_rows_without_a_session_are_rejected(sample: pl.DataFrame) -> None:
    checked = validate(sample.write_csv(include_header=False).encode(), COLUMNS, "f", 1)
    assert checked.rejected.height == 165
    assert checked.accepted["event_id"].n_unique() == 884_312


@pytest.mark.parametrize("rows", [1, 2, 7, 1_000])
def test_any_number_of_rows_can_be_generated(rows: int) -> None:
    assert make_events(rows, 1).height == rows


def test_the_script_runs_in_the_image(tmp_path: Path) -> None:
    # As in the container: with Python's safe path and without the project's packages.
    environ = {"PATH": os.environ["PATH"], "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "scripts/make_sample.py", "--rows", "1000", "--seed", "1"]
    path = tmp_path / "events.csv"
    subprocess.run([*command, "--out", str(path)], cwd=ROOT, env=environ, check=True)
    assert path.read_text() == make_events(1000, 1).write_csv()


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.csv", "b.csv", "c.csv")]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        assert make_sample.main(["--rows", "500", "--seed", str(seed), "--out", str(file)]) == 0
    first, same, other = (file.read_bytes() for file in files)
    assert first == same
    assert first != other


def test_a_file_without_a_sample_label_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other_file = tmp_path / "events.csv"
    other_file.write_text("mine")
    assert make_sample.main(["--rows", "5", "--out", str(other_file)]) == 1
    assert "was not made here" in capsys.readouterr().err
    assert other_file.read_text() == "mine"
    assert make_sample.main(["--rows", "5", "--out", str(other_file), "--force"]) == 0
    assert make_sample.main(["--rows", "6", "--out", str(other_file)]) == 0


def test_ctrl_c_leaves_no_half_file_and_no_old_one_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "events.csv"
    assert make_sample.main(["--rows", "5", "--out", str(path)]) == 0
    before = {file.name: file.read_text() for file in tmp_path.iterdir()}

    class Interrupted:
        def write_csv(self, new: Path) -> None:
            assert new != path
            new.write_text("half a fi")
            raise KeyboardInterrupt

    monkeypatch.setattr(make_sample, "make_events", lambda *_: Interrupted())
    assert make_sample.main(["--rows", "9", "--out", str(path)]) == 130
    assert capsys.readouterr().err == "Stopped. No file was written.\n"
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == before


def test_ctrl_c_while_modules_are_imported_prints_one_line(tmp_path: Path) -> None:
    (tmp_path / "polars.py").write_text(
        "import time; print('importing', flush=True); time.sleep(30)"
    )
    child = subprocess.Popen(
        [sys.executable, "scripts/make_sample.py", "--out", str(tmp_path / "events.csv")],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    assert child.stdout.readline() == "importing\n"
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert (child.returncode, errors) == (130, "Stopped. No file was written.\n")


def test_less_than_one_row_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make_sample.main(["--rows", "0", "--out", str(tmp_path / "e.csv")]) == 1
    assert "at least 1" in capsys.readouterr().err
