"""The commands of the dashboards: serve, report and Kibana, without servers."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from customer_profiles.dashboards import cli, kibana
from customer_profiles.dashboards.cli import main
from customer_profiles.dashboards.kibana import KibanaError
from customer_profiles.dashboards.saved_objects import TimeRange
from customer_profiles.search.errors import IndexUnavailableError

RANGE = TimeRange("2020-09-24T00:00:00.000Z", "2020-09-30T23:59:59.999Z")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command away from this machine's settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("LOG_FORMAT", "LOG_LEVEL", "DASHBOARD_PORT", "ELASTICSEARCH_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REPORTS", str(tmp_path / "reports"))
    for name in ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "ELASTIC_PASSWORD"):
        monkeypatch.setenv(name, "secret")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_the_saved_objects_are_printed_as_lines_of_json(run: Run) -> None:
    code, out, _ = run("kibana")
    assert code == 0
    objects = [json.loads(line) for line in out.splitlines()]
    assert "dashboard" in {item.get("type") for item in objects}


class Kibana:
    """Takes saved objects, or refuses them."""

    def __init__(self) -> None:
        self.imported: list[tuple[str, str, str]] = []
        self.time_range: TimeRange | None = RANGE
        self.failure: KibanaError | None = None
        self.asked: list[tuple[str | None, str]] = []

    def import_objects(self, url: str, password: str, ndjson: str) -> int:
        if self.failure:
            raise self.failure
        self.imported.append((url, password, ndjson))
        return len(ndjson.splitlines())

    def data_range(self, url: str | None, password: str) -> TimeRange | None:
        self.asked.append((url, password))
        return self.time_range


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Kibana:
    fake = Kibana()
    for module in (cli, kibana):
        monkeypatch.setattr(module, "import_objects", fake.import_objects)
        monkeypatch.setattr(module, "data_range", fake.data_range)
    return fake


def test_an_import_opens_the_dashboards_on_the_data(
    run: Run, fake: Kibana, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHBOARD_PORT", "8123")
    code, out, _ = run("kibana", "--import", "http://kibana")
    assert code == 0
    ((url, password, ndjson),) = fake.imported
    assert (url, password) == ("http://kibana", "secret")
    assert RANGE.since in ndjson
    assert ":8123" in ndjson
    assert out == (
        f"{len(ndjson.splitlines())} saved objects are in Kibana; "
        f"the dashboards open on {RANGE.since} to {RANGE.until}\n"
    )


def test_an_import_without_events_says_so(run: Run, fake: Kibana) -> None:
    fake.time_range = None
    assert run("kibana", "--import", "http://kibana")[1].endswith("; there are no events yet\n")


def test_a_refusal_of_kibana_is_an_error(run: Run, fake: Kibana) -> None:
    fake.failure = KibanaError("Kibana refuses: 403 no")
    code, out, err = run("kibana", "--import", "http://kibana")
    assert (code, out) == (1, "")
    assert "Kibana refuses: 403 no" in err
    assert "secret" not in err


def test_the_import_of_containers_takes_its_settings_from_the_environment(
    fake: Kibana, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://elasticsearch")
    monkeypatch.setenv("ELASTIC_PASSWORD", "secret")
    monkeypatch.setenv("DASHBOARD_PORT", "8123")
    assert kibana.main(["http://kibana"]) == 0
    assert fake.asked == [("http://elasticsearch", "secret")]
    assert ":8123" in fake.imported[0][2]
    assert "saved objects are in Kibana" in capsys.readouterr().out


def test_the_import_of_containers_has_a_port_of_its_own_and_tells_failures(
    fake: Kibana, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DASHBOARD_PORT", "")
    assert kibana.main(["http://kibana"]) == 0
    assert f":{kibana.PAGE_PORT}" in fake.imported[0][2]
    fake.failure = KibanaError("Kibana refuses: 403 no")
    assert kibana.main(["http://kibana"]) == 1
    assert capsys.readouterr().err == "error: Kibana refuses: 403 no\n"


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_the_import_of_containers_wants_one_address(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert kibana.main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_a_report_says_what_it_wrote(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_report(_dashboard: object, folder: Path) -> list[Path]:
        return [folder / "report.html", folder / "charts" / "a.png", folder / "charts" / "b.png"]

    monkeypatch.setattr(cli, "Dashboard", lambda _: object())
    monkeypatch.setattr(cli, "write_report", write_report)
    code, out, _ = run("report")
    assert code == 0
    written = out.replace("\n", "")
    assert "reports/report.html, and 2 pictures in " in written
    assert written.endswith("reports/charts")


class Dashboard:
    """A dashboard whose Elasticsearch may be away."""

    works = True

    def __init__(self, _settings: object) -> None:
        pass

    def choices(self) -> dict[str, Any]:
        if not self.works:
            raise IndexUnavailableError("Elasticsearch does not answer.\nRun `make up`.")
        return {}

    def experiment_routes(self) -> list[Any]:
        return []


class Server:
    """A server that ends as with Ctrl-C, once it has got its socket."""

    addresses: list[tuple[str, int]]

    def __init__(self, config: Any) -> None:
        assert config.app is not None

    def run(self, sockets: list[socket.socket]) -> None:
        (listener,) = sockets
        self.addresses.append(listener.getsockname())
        listener.close()
        raise KeyboardInterrupt


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A free port, and fakes of what serves on it."""
    monkeypatch.setattr(cli, "Dashboard", Dashboard)
    monkeypatch.setattr(cli, "create_app", lambda *_: object())
    monkeypatch.setattr(uvicorn, "Server", Server)
    monkeypatch.setattr(Server, "addresses", [], raising=False)
    monkeypatch.setattr(Dashboard, "works", True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    return number


def test_the_page_is_served_on_loopback_until_ctrl_c(
    run: Run, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHBOARD_PORT", str(port))
    code, out, _ = run("serve")
    assert (code, Server.addresses) == (0, [("127.0.0.1", port)])
    assert out == f"The dashboards are at http://127.0.0.1:{port}; Ctrl-C ends them\n"


def test_the_page_is_not_served_without_elasticsearch(
    run: Run, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHBOARD_PORT", str(port))
    monkeypatch.setattr(Dashboard, "works", False)
    code, out, err = run("serve")
    assert (code, out, Server.addresses) == (1, "", [])
    assert "Elasticsearch does not answer." in err


def test_a_port_that_is_taken_is_named_with_a_way_out(
    run: Run, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setenv("DASHBOARD_PORT", str(taken))
        code, _, err = run("serve")
    assert (code, Server.addresses) == (1, [])
    assert f"Port {taken} is taken" in err
    assert "set another DASHBOARD_PORT in .env" in err


@pytest.mark.parametrize("arguments", [[], ["fly"], ["kibana", "--import"]])
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
