"""`make experiment`: land exposures, analyse, and say in words and numbers what came out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from customer_profiles.common.errors import PipelineError
from customer_profiles.common.progress import ProgressDisplay
from customer_profiles.common.reports import check_folder, write_json
from customer_profiles.contracts import bucket_of
from customer_profiles.experimentation.analysis import analyse
from customer_profiles.experimentation.commands import land_exposures, open_store
from customer_profiles.experimentation.experiment_file import METRICS_FILE
from customer_profiles.experimentation.exposure_frame import EXPOSURE_SCHEMA
from customer_profiles.experimentation.first_exposures import first_exposures
from customer_profiles.experimentation.html_report import write_html
from customer_profiles.experimentation.lake_measures import measure_lake, newest_event
from customer_profiles.experimentation.metrics_file import metrics_of, read_metrics
from customer_profiles.experimentation.register_command import experiment_path, register
from customer_profiles.experimentation.render import print_result
from customer_profiles.experimentation.result import Result
from customer_profiles.experimentation.result_documents import to_documents
from customer_profiles.experimentation.settings import Settings
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.experiments import ExperimentLake
from customer_profiles.lake.exposures import ExposureLake
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.lake.profiles import read_profiles
from customer_profiles.profiles.segments import DEFAULT_SEGMENTS, read_segments
from customer_profiles.search.experiments import ExperimentIndices

if TYPE_CHECKING:
    from rich.console import Console


def run_analyse(name: str, settings: Settings, console: Console) -> int:
    """Analyse an experiment, and leave its report and its results.

    Raises:
        PipelineError: the file cannot be used, or a server does not answer.
    """
    run_analysis(name, settings, console)
    return 0


def run_analysis(name: str, settings: Settings, console: Console) -> Result:
    """Do what `make experiment` does, and return the result."""
    check_folder(settings.reports)
    store = open_store(settings)
    experiment, _ = register(name, store, settings)
    path = experiment_path(name, settings)
    metrics = metrics_of(experiment, read_metrics(settings.experiments / METRICS_FILE), path)
    land_exposures(store, settings, console)
    exposures = ExposureLake(store).read()
    _name_strangers(exposures, store, settings, console)
    exposures = exposures.filter(experiment=name).select(*EXPOSURE_SCHEMA)
    with ProgressDisplay(console, "buckets") as progress:
        as_of = newest_event(store, partial(progress, "newest event"))
        if as_of is None:
            raise PipelineError("There are no events in the lake yet.\nRun `make process` first.")
        users = exposures["user_id"].unique()
        erased = without_profile(store, users, partial(progress, "who is in the lake"))
        assigned = ExperimentLake(store).assigned(name).height or None
        exposed = first_exposures(exposures, experiment, erased, assigned)
        measured = measure_lake(
            store,
            exposed.customers,
            metrics,
            as_of,
            read_segments(settings.segments or DEFAULT_SEGMENTS),
            partial(progress, "measure"),
        )
    result = analyse(experiment, metrics, measured, exposed.counts, as_of)
    console.print("")
    print_result(result, console)
    page = write_html(result, experiment.hypothesis, settings.reports)
    written = write_json(settings.reports / f"experiment-{name}.json", result.as_json())
    ExperimentIndices(settings.search).write_results(name, to_documents(result))
    console.print("")
    console.print(f"Report: {page}, {written}, and the index experiment_results")
    return result


def without_profile(
    store: ObjectStore,
    user_ids: pl.Series,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> pl.Series:
    """Return the exposed customers of whom the lake has nothing, because they were erased.

    Whoever has an event has a profile. A customer without one looks like somebody who has done
    nothing, and would lower every metric. That holds for every experiment, whoever can take part.
    Customers whose first events are still to be processed are among them until then.

    Args:
        store: the lake.
        user_ids: `user_id` String of the exposed customers, without duplicates.
        progress: called with the buckets that are done, and all buckets.
    """
    buckets = BatchLog(store).buckets() or 1
    numbers = pl.Series("bucket", [bucket_of(user, buckets) for user in user_ids], dtype=pl.Int32)
    users = pl.DataFrame([user_ids, numbers])
    gone = [user_ids.clear()]
    for (bucket,), part in users.group_by("bucket"):
        known = read_profiles(store, int(str(bucket))).profiles.select("user_id")
        gone.append(part.join(known, on="user_id", how="anti")["user_id"])
        progress(len(gone) - 1, buckets)
    return pl.concat(gone)


def _name_strangers(
    exposures: pl.DataFrame, store: ObjectStore, settings: Settings, console: Console
) -> None:
    """Name experiments that exposures tell of and that nobody has declared."""
    declared = {path.stem for path in settings.experiments.glob("*.toml")}
    declared |= set(ExperimentLake(store).names())
    counts = exposures.filter(~pl.col("experiment").is_in(list(declared)))["experiment"]
    for name, count in counts.value_counts(sort=True).head(5).iter_rows():
        console.print(
            f"Exposures of the experiment {name}: {count:,}. It has no file in "
            f"{settings.experiments}, so they stay in the lake and nobody analyses them",
            style="yellow",
        )
