"""The commands that need no Spark: profiles, summary, setup and the index before."""

from __future__ import annotations

import io
import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from customer_profiles.common.errors import PipelineError
from customer_profiles.lake import accounts as lake_accounts
from customer_profiles.processing import queries
from customer_profiles.processing.batch import process
from customer_profiles.processing.queries import run_query
from customer_profiles.processing.settings import Settings
from customer_profiles.search.errors import IndexUnavailableError
from customer_profiles.search.profile_index import IndexRef
from tests.unit.processing.fakes import Pipeline, message, user_in

FIRST, SECOND = user_in(0), user_in(1)
NOBODY = user_in(3)

Run = Callable[..., str]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pipeline:
    """Return a pipeline with two customers, one of whom has bought something."""
    pipeline = Pipeline(monkeypatch, tmp_path)
    pipeline.topics.produce(
        message(FIRST, event_type="purchase", price="12.50"), message(SECOND, user_session="s2")
    )
    process(pipeline.context())
    monkeypatch.setattr(queries, "S3ObjectStore", lambda _: pipeline.store)
    monkeypatch.setattr(queries, "ProfileIndex", lambda _: pipeline.index)
    monkeypatch.setattr(queries, "MetricsIndices", lambda _: pipeline.metrics_indices)
    return pipeline


@pytest.fixture
def run(pipeline: Pipeline) -> Run:
    """Return a function that runs a command and returns what it printed on the console."""

    def run(command: str, *, environ: dict[str, str] | None = None, **arguments: str) -> str:
        file = io.StringIO()
        settings = Settings.from_env({**pipeline.environ, **(environ or {})})
        console = Console(file=file, width=150, color_system=None)
        assert run_query(Namespace(command=command, **arguments), settings, console) == 0
        return file.getvalue()

    return run


@pytest.mark.parametrize("origin", ["index", "lake"])
def test_a_profile_is_printed_as_json(
    pipeline: Pipeline, run: Run, capsys: pytest.CaptureFixture[str], origin: str
) -> None:
    run("profile", user_id=FIRST, origin=origin)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == pipeline.index.get(FIRST)
    assert printed.err == ""


@pytest.mark.parametrize("origin", ["index", "lake"])
def test_a_customer_without_profile_is_an_error(run: Run, origin: str) -> None:
    with pytest.raises(PipelineError, match=f"no profile of a customer {NOBODY} in the {origin}"):
        run("profile", user_id=NOBODY, origin=origin)


def test_a_lake_without_batches_has_no_profile(pipeline: Pipeline, run: Run) -> None:
    pipeline.store.objects.clear()
    with pytest.raises(PipelineError, match="There is no profile"):
        run("profile", user_id=FIRST, origin="lake")


def test_fields_that_differ_are_named(
    pipeline: Pipeline, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pipeline.index.live is not None
    _, document = pipeline.index.stored[pipeline.index.live.name][FIRST]
    document |= {"total_events": 9, "favorite_brand": "bolt"}
    run("profile", user_id=FIRST, origin="lake")
    printed = capsys.readouterr()
    assert json.loads(printed.out)["total_events"] == 1
    assert "warning: index and lake differ: total_events, favorite_brand.\n" in printed.err
    assert "`make process` brings the index up to the lake" in printed.err


def test_a_profile_that_only_one_of_the_two_has_is_named(
    pipeline: Pipeline, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.index.delete_live()
    pipeline.index.ensure()
    run("profile", user_id=FIRST, origin="lake")
    assert "index and lake differ: it is only in the lake." in capsys.readouterr().err
    with pytest.raises(PipelineError, match="in the index"):
        run("profile", user_id=FIRST, origin="index")
    assert "index and lake differ: it is only in the lake." in capsys.readouterr().err


def test_a_server_that_does_not_answer_leaves_the_profiles_uncompared(
    pipeline: Pipeline, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.index.unavailable = True
    run("profile", user_id=FIRST, origin="lake")
    printed = capsys.readouterr()
    assert json.loads(printed.out)["user_id"] == FIRST
    assert "warning: not compared with the index: Elasticsearch does not answer" in printed.err
    with pytest.raises(IndexUnavailableError):
        run("profile", user_id=FIRST, origin="index")


def test_the_summary_shows_totals_and_the_best_customers(run: Run) -> None:
    lines = [line.split() for line in run("summary").splitlines() if line]
    assert ["Events", "2"] in lines
    assert ["Customers", "2"] in lines
    assert ["Revenue", "12.50"] in lines
    assert [FIRST, "12.50", "(1", "bought),", "mostly", "acme"] in lines
    assert ["one", "profile", "make", "profile", f"ID={FIRST}"] in lines
    assert not [line for line in lines if line[:1] == [SECOND]]


def test_the_summary_of_an_empty_stack_names_no_customer(pipeline: Pipeline, run: Run) -> None:
    pipeline.store.objects.clear()
    pipeline.index.delete_live()
    printed = run("summary")
    assert "make profile ID=…" in printed
    assert "Best customers" not in printed


def test_curl_names_the_account_that_may_read(run: Run) -> None:
    local = run("summary", environ={"ELASTICSEARCH_URL": "http://inside:9200"})
    assert "curl 'http://inside:9200/customer_profiles/_search" in local
    native = {"ELASTICSEARCH_URL": "http://inside:9200", "ELASTIC_PASSWORD": "only-for-tests"}
    with_account = run("summary", environ=native)
    assert '--user "elastic:$(sed -n s/^ELASTIC_PASSWORD=//p .env)"' in with_account
    assert "only-for-tests" not in with_account
    shown = run(
        "summary",
        environ={
            "ELASTICSEARCH_URL": "http://inside:9200",
            "ELASTICSEARCH_SHOWN_URL": "http://outside:9200",
        },
    )
    password = "$(sed -n s/^ELASTIC_READER_PASSWORD=//p .env)"
    assert f'curl --user "profiles-reader:{password}"' in shown
    assert "'http://outside:9200/customer_profiles/_search" in shown


@pytest.mark.parametrize(
    ("accounts", "suffix"),
    [([], ""), (["profiles-reader", "kibana_system"], ", and the accounts profiles-reader, kib")],
)
def test_setup_creates_what_is_missing(
    pipeline: Pipeline,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    accounts: list[str],
    suffix: str,
) -> None:
    calls: list[Any] = []

    def set_accounts(index: object, **passwords: str) -> list[str]:
        assert index is pipeline.index
        calls.append(passwords)
        return accounts

    pipeline.index.delete_live()
    pipeline.metrics_indices.documents.clear()
    store = SimpleNamespace(ensure_bucket=lambda: calls.append("bucket"))
    monkeypatch.setattr(queries, "S3ObjectStore", lambda _: store)
    monkeypatch.setattr(queries, "set_accounts", set_accounts)
    monkeypatch.setattr(
        lake_accounts, "set_jobs_account", lambda _, password: calls.append(password)
    )
    names = ("ELASTIC_JOBS", "ELASTIC_READER", "KIBANA", "MINIO_JOBS")
    passwords = {f"{name}_PASSWORD": name.lower() for name in names} if accounts else {}
    printed = run("setup", environ=passwords)
    assert printed.startswith(f"The lake and the index are there{suffix}")
    elastic = ("elastic_jobs", "elastic_reader", "kibana") if accounts else ("", "", "")
    arguments = ("jobs_password", "reader_password", "kibana_password")
    # The native stack has MinIO's root alone.
    minio = ["minio_jobs"] if accounts else []
    assert calls == ["bucket", dict(zip(arguments, elastic, strict=True)), *minio]
    assert pipeline.index.live is not None
    assert set(pipeline.metrics_indices.documents) == {
        *("event_metrics", "pipeline_runs", "rejected_rows")
    }


def test_restoring_an_index_names_both(
    pipeline: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = IndexRef("customer_profiles-000002", "b"), IndexRef("customer_profiles-000001", "a")
    monkeypatch.setattr(pipeline.index, "restore", lambda: pair, raising=False)
    printed = run("restore-index")
    assert printed.startswith(
        "Readers of customer_profiles see customer_profiles-000001 again, "
        "and customer_profiles-000002 no more."
    )
    assert "Next: make process" in printed
