"""The commands of assignment and of exposures."""

from __future__ import annotations

import json
import logging
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from customer_profiles.common.clock import now_utc
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.progress import ProgressDisplay
from customer_profiles.common.reports import check_folder, write_json
from customer_profiles.contracts.assignment import Outcome
from customer_profiles.contracts.experiment import RegisteredExperiment
from customer_profiles.contracts.rules import PLAIN_INTEGER
from customer_profiles.experimentation.assigning import AssignedCustomers, assign_all
from customer_profiles.experimentation.exposure_files import read_exposure_file, refuse_rejected
from customer_profiles.experimentation.exposure_topic import KafkaExposures, publish
from customer_profiles.experimentation.landing import LandingReport, land
from customer_profiles.experimentation.register_command import register
from customer_profiles.experimentation.settings import Settings
from customer_profiles.kafka.admin import ensure_topics
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.experiments import ExperimentLake
from customer_profiles.lake.exposures import ExposureLake
from customer_profiles.lake.lease import hold_lease
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.s3 import S3ObjectStore
from customer_profiles.search.experiments import ExperimentIndices
from customer_profiles.search.profile_index import ProfileIndex

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger(__name__)

REPORT = "exposures-latest.json"
_REASONS = {
    Outcome.ASSIGNED: "assigned",
    Outcome.HOLDOUT: "in the holdout",
    Outcome.NOT_ELIGIBLE: "not eligible",
    Outcome.OUT_OF_RANGE: "outside of the experiment's range in its layer",
}


def open_store(settings: Settings) -> S3ObjectStore:
    """Connect to the lake, and create its bucket if it is missing."""
    store = S3ObjectStore(settings.lake)
    store.ensure_bucket()
    return store


def run_assign(
    name: str, user_id: str | None, settings: Settings, console: Console, *, publish: bool
) -> int:
    """Say which variant a customer gets, or assign all customers.

    Raises:
        PipelineError: the experiment cannot be used, or a server does not answer.
    """
    store = open_store(settings)
    _, experiment = register(name, store, settings)
    if user_id is not None:
        return _assign_one(experiment, user_id, settings, console)
    if not publish:
        with ProgressDisplay(console, "buckets") as progress:
            assigned = assign_all(store, experiment, now_utc(), partial(progress, "assign"))
        _print_assigned(experiment, assigned, console)
        console.print("Write them into the profiles: the same command with PUBLISH=1")
        return 0
    publish_variants(experiment, store, settings, console)
    return 0


def publish_variants(
    experiment: RegisteredExperiment, store: ObjectStore, settings: Settings, console: Console
) -> AssignedCustomers:
    """Assign all customers, and write their variants into the live profiles.

    Raises:
        PipelineError: a stream runs or takes over, or a server does not answer.
    """
    with (
        hold_lease(store, partial(S3ObjectStore, settings.lake)) as is_held,
        ProgressDisplay(console, "customers") as progress,
    ):
        assigned = assign_all(store, experiment, now_utc(), partial(progress, "assign"))
        customers = sum(assigned.outcomes.values())
        indices = ExperimentIndices(settings.search)
        indices.add_field(experiment.name)
        ExperimentLake(store).record_published(experiment.name, now_utc())
        changed = indices.publish_variants(
            experiment.name,
            assigned.variants,
            lambda done: progress("publish", done, customers),
        )
        if not is_held():
            raise PipelineError(
                "A stream has taken over while variants were published.\n"
                "Run the same command again when it has ended."
            )
    _print_assigned(experiment, assigned, console)
    console.print(
        f"{changed:,} documents have changed: experiments.{experiment.name} of the profiles in "
        "Elasticsearch"
    )
    return assigned


def _assign_one(
    experiment: RegisteredExperiment, user_id: str, settings: Settings, console: Console
) -> int:
    if not re.fullmatch(PLAIN_INTEGER, user_id):
        raise PipelineError(f"{user_id} is no customer's id.\nAn id has 1 to 20 digits.")
    profile = ProfileIndex(settings.search).get(user_id)
    answer = experiment.assign(user_id, profile)
    reason = _REASONS[answer.outcome]
    if profile is None:
        reason += "; there is no profile of this customer yet"
    console.print(
        json.dumps(
            {
                "experiment": experiment.name,
                "user_id": user_id,
                "variant": answer.variant,
                "outcome": str(answer.outcome),
                "reason": reason,
            },
            indent=2,
        )
    )
    return 0


def _print_assigned(
    experiment: RegisteredExperiment, assigned: AssignedCustomers, console: Console
) -> None:
    console.print(f"{experiment.name}: {len(assigned.variants):,} customers have a variant")
    for item in experiment.allocation.ranges:
        console.print(f"  {item.variant:<50} {assigned.by_variant[item.variant]:>12,}")
    for outcome, reason in _REASONS.items():
        count = assigned.outcomes[str(outcome)]
        if count and outcome is not Outcome.ASSIGNED:
            console.print(f"  {reason:<50} {count:>12,}")
    if assigned.kept:
        console.print(f"  {assigned.kept:,} of them were eligible earlier and keep their variant")


def run_exposures(settings: Settings, console: Console) -> int:
    """Land new exposures.

    Raises:
        PipelineError: a server does not answer, or another run lands exposures.
    """
    check_folder(settings.reports)
    report = land_exposures(open_store(settings), settings, console)
    written = write_json(settings.reports / REPORT, report.to_json())
    console.print(f"Report: {written}")
    return 0


def land_exposures(store: ObjectStore, settings: Settings, console: Console) -> LandingReport:
    """Land new exposures and print what became of them."""
    buckets = BatchLog(store).buckets() or settings.buckets
    topic = KafkaExposures(settings.kafka)
    with ProgressDisplay(console, "exposures") as progress:
        report = land(ExposureLake(store), topic, buckets, progress=partial(progress, "exposures"))
    print_landing(report, console)
    return report


def print_landing(report: LandingReport, console: Console) -> None:
    """Print the sum of a run, and all that a person should know."""
    counts = report.counts
    if not report.batches:
        console.print(f"No new exposures: {report.total.accepted:,} are in the lake")
    else:
        console.print(
            f"{counts.read:,} exposures read = {counts.accepted:,} accepted + "
            f"{counts.dead_lettered:,} dead-lettered + {counts.duplicates:,} duplicates"
        )
    if report.reasons:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in report.reasons.most_common())
        console.print(f"Dead letters by reason: {reasons}", style="yellow")
        for example in report.examples:
            console.print(f"  {example}")
    if report.new_topic:
        console.print(
            "The topic of exposures was made anew, and was read from its start", style="yellow"
        )
    if report.lost:
        console.print(
            f"{report.lost:,} offsets were removed from the topic before they were read; "
            "run this command more often than the topic keeps messages",
            style="yellow",
        )


def run_expose(path: Path, settings: Settings, console: Console) -> int:
    """Send the exposures of a file.

    Raises:
        PipelineError: a row is no exposure, and nothing was sent; or Kafka does not answer.
    """
    exposures, rejected = read_exposure_file(path)
    refuse_rejected(path, rejected)
    ensure_topics(settings.kafka)
    sent = publish(settings.kafka, exposures)
    console.print(f"{sent:,} exposures of {path} are in Kafka. Next: make exposures")
    return 0
