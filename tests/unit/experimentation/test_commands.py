"""The commands of assignment, exposures and analysis, on a lake in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts.exposure import Exposure
from customer_profiles.experimentation import commands
from customer_profiles.experimentation.analyse_command import run_analyse
from customer_profiles.experimentation.commands import run_assign, run_expose, run_exposures
from customer_profiles.lake.experiments import ExperimentLake
from tests.unit.experimentation.small_shop import ELIGIBLE, FILE, Shop

USERS = [str(number) for number in range(1, 41)]
Printed = Callable[[], str]


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shop:
    """A shop with forty customers, of whom every second buys after the experiment has begun."""
    shop = Shop(monkeypatch, tmp_path)
    views = [(user, "view", -1.0, "5") for user in USERS]
    bought = [(user, "purchase", 2.0, "20") for user in USERS[::2]]
    shop.fill_lake([*views, *bought, ("1", "view", 30.0, "5")])
    return shop


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    return lambda: capsys.readouterr().out


def expose(shop: Shop, *users: str, experiment: str = "banner") -> None:
    """Send an exposure of each customer, in turn to both variants."""
    for number, user in enumerate(users):
        variant = ("control", "banner")[number % 2]
        exposure = Exposure(experiment, variant, user, "2020-01-11T00:00:00Z")
        shop.topic.partitions[0].append(exposure.to_json().encode())


def assign(shop: Shop, user_id: str | None = None, *, publish: bool = False) -> int:
    return run_assign("banner", user_id, shop.settings, shop.console, publish=publish)


def test_a_dry_run_counts_customers_and_publishes_nothing(shop: Shop, printed: Printed) -> None:
    assert assign(shop) == 0
    out = printed().splitlines()
    assert out[0] == "banner: 40 customers have a variant"
    counts = {line.split()[0]: int(line.split()[-1]) for line in out[1:3]}
    assert set(counts) == {"control", "banner"}
    assert sum(counts.values()) == 40
    assert out[-1] == "Write them into the profiles: the same command with PUBLISH=1"
    assert shop.index.variants == {}


def test_publishing_writes_the_variant_of_each_customer(shop: Shop, printed: Printed) -> None:
    assert assign(shop, publish=True) == 0
    assert set(shop.index.variants["banner"]) == set(USERS)
    assert "40 documents have changed: experiments.banner of the profiles" in printed()
    assert ExperimentLake(shop.store).assigned("banner").height == 40


def test_a_stream_that_takes_over_is_told(shop: Shop) -> None:
    shop.has_lease = False
    with pytest.raises(PipelineError, match="A stream has taken over") as error:
        assign(shop, publish=True)
    assert "Run the same command again when it has ended." in str(error.value)


def test_who_is_not_eligible_is_counted_with_the_reason(shop: Shop, printed: Printed) -> None:
    shop.declare(FILE.replace("[[variants]]", ELIGIBLE + "\n[[variants]]", 1))
    assert assign(shop) == 0
    out = printed()
    assert out.startswith("banner: 20 customers have a variant\n")
    (line,) = (line for line in out.splitlines() if "not eligible" in line)
    assert line.split() == ["not", "eligible", "20"]


def test_one_customer_gets_the_same_answer_as_all(shop: Shop, printed: Printed) -> None:
    assign(shop, publish=True)
    printed()
    shop.profiles["7"] = {"user_id": "7"}
    assert assign(shop, "7") == 0
    answer = json.loads(printed())
    assert answer == {
        "experiment": "banner",
        "user_id": "7",
        "variant": shop.index.variants["banner"]["7"],
        "outcome": "assigned",
        "reason": "assigned",
    }


def test_a_customer_without_a_profile_is_named_as_such(shop: Shop, printed: Printed) -> None:
    assert assign(shop, "99") == 0
    assert json.loads(printed())["reason"].endswith("there is no profile of this customer yet")


@pytest.mark.parametrize("user_id", ["x", "1.5", "-1", "1" * 21])
def test_what_is_no_id_of_a_customer_is_refused(shop: Shop, user_id: str) -> None:
    with pytest.raises(PipelineError, match="is no customer's id") as error:
        assign(shop, user_id)
    assert "An id has 1 to 20 digits." in str(error.value)


def test_an_experiment_without_a_file_is_refused_with_those_that_there_are(shop: Shop) -> None:
    with pytest.raises(PipelineError, match=r"There are banner\."):
        run_assign("button", None, shop.settings, shop.console, publish=False)
    (shop.experiments / "banner.toml").unlink()
    with pytest.raises(PipelineError, match=r"docs/experiments\.md shows one"):
        run_assign("button", None, shop.settings, shop.console, publish=False)


def test_a_running_experiment_keeps_its_registered_copy(shop: Shop) -> None:
    assign(shop)
    before, etag = ExperimentLake(shop.store).read("banner")
    assign(shop)
    assert ExperimentLake(shop.store).read("banner") == (before, etag)
    # It has ended long ago, so its file may change.
    shop.declare(FILE.replace("more customers", "many customers"))
    assign(shop)
    after, _ = ExperimentLake(shop.store).read("banner")
    assert before is not None
    assert after is not None
    assert after.definition != before.definition


def test_two_experiments_of_one_layer_may_not_overlap(shop: Shop) -> None:
    assign(shop)
    shop.declare(FILE.replace("banner-1", "button-1"), "button")
    with pytest.raises(PipelineError, match="banner"):
        run_assign("button", None, shop.settings, shop.console, publish=False)
    assert ExperimentLake(shop.store).names() == ["banner"]


def test_exposures_are_landed_once_and_the_report_adds_up(shop: Shop, printed: Printed) -> None:
    expose(shop, "1", "2", "2")
    shop.topic.partitions[1].append(b"no json")
    assert run_exposures(shop.settings, shop.console) == 0
    out = printed()
    # The second one of customer 2 is another variant, so it is an exposure of its own.
    assert "4 exposures read = 3 accepted + 1 dead-lettered + 0 duplicates" in out
    assert "Dead letters by reason: not_json 1" in out
    report = shop.reports / "exposures-latest.json"
    assert f"Report: {report}" in out
    content = json.loads(report.read_text())
    assert (content["read"], content["accepted"], content["dead_lettered"]) == (4, 3, 1)
    run_exposures(shop.settings, shop.console)
    assert printed().startswith("No new exposures: 3 are in the lake\n")


def test_a_new_topic_is_told(shop: Shop, printed: Printed) -> None:
    expose(shop, "1")
    run_exposures(shop.settings, shop.console)
    printed()
    shop.topic.topic_id = "t2"
    expose(shop, "2")
    run_exposures(shop.settings, shop.console)
    out = printed()
    assert "2 exposures read = 1 accepted + 0 dead-lettered + 1 duplicates" in out
    assert "The topic of exposures was made anew, and was read from its start" in out


def test_offsets_that_are_gone_are_told(shop: Shop, printed: Printed) -> None:
    expose(shop, "1")
    run_exposures(shop.settings, shop.console)
    expose(shop, "2", "3", "4")
    shop.topic.first = 2
    run_exposures(shop.settings, shop.console)
    assert "1 offsets were removed from the topic before they were read" in printed()


def test_a_file_of_exposures_is_sent_as_a_whole_or_not_at_all(
    shop: Shop, printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Exposure] = []

    def publish(_config: object, exposures: list[Exposure]) -> int:
        sent.extend(exposures)
        return len(sent)

    monkeypatch.setattr(commands, "publish", publish)
    monkeypatch.setattr(commands, "ensure_topics", lambda _: None)
    path = tmp_path / "exposures.csv"
    header, row = "experiment,variant,user_id,exposed_at", "banner,control,7,2020-01-11T00:00:00Z"
    path.write_text(f"{header}\n{row}\nbanner,control,x,2020-01-11T00:00:00Z\n")
    with pytest.raises(PipelineError):
        run_expose(path, shop.settings, shop.console)
    assert sent == []
    path.write_text(f"{header}\n{row}\n")
    assert run_expose(path, shop.settings, shop.console) == 0
    assert [item.user_id for item in sent] == ["7"]
    assert printed() == f"1 exposures of {path} are in Kafka. Next: make exposures\n"


def analysed(shop: Shop) -> dict[str, Any]:
    assert run_analyse("banner", shop.settings, shop.console) == 0
    content: dict[str, Any] = json.loads((shop.reports / "experiment-banner.json").read_text())
    return content


def test_an_analysis_leaves_a_page_a_file_and_documents(shop: Shop, printed: Printed) -> None:
    expose(shop, *USERS)
    content = analysed(shop)
    assert content["counts"]["analysed"] == 40
    out = printed()
    assert out.startswith("40 exposures read = 40 accepted")
    assert out.splitlines()[-1].endswith("and the index experiment_results")
    (page,) = shop.reports.glob("*.html")
    assert str(page) in out
    assert {document["experiment"] for _, document in shop.index.results["banner"]} == {"banner"}


def test_exposures_of_an_experiment_that_nobody_declared_are_named(
    shop: Shop, printed: Printed
) -> None:
    expose(shop, *USERS)
    expose(shop, "1", "2", experiment="button")
    analysed(shop)
    assert "Exposures of the experiment button: 2. It has no file in " in printed()


def test_an_analysis_needs_events(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shop = Shop(monkeypatch, tmp_path)
    with pytest.raises(PipelineError, match="Run `make process` first"):
        run_analyse("banner", shop.settings, shop.console)
    assert shop.index.results == {}
