"""Register the file of an experiment in the lake, unless it would move customers."""

from __future__ import annotations

import tomllib
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from customer_profiles.common.clock import now_utc
from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts.experiment import RegisteredExperiment
from customer_profiles.experimentation.changes import refuse_changes
from customer_profiles.experimentation.definition import Experiment
from customer_profiles.experimentation.experiment_file import parse_experiment, read_experiment
from customer_profiles.experimentation.registration import check_overlap, registered
from customer_profiles.experimentation.settings import Settings
from customer_profiles.lake.experiments import ExperimentLake
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.profiles.segments import DEFAULT_SEGMENTS, read_segments


def experiment_path(name: str, settings: Settings) -> Path:
    """Return the file of an experiment.

    Raises:
        PipelineError: there is no such file; the message lists those that there are.
    """
    path = settings.experiments / f"{name}.toml"
    if not path.is_file():
        others = sorted(
            file.stem for file in settings.experiments.glob("*.toml") if file.stem != "metrics"
        )
        known = f"There are {', '.join(others)}." if others else "docs/experiments.md shows one."
        raise PipelineError(f"There is no file {path}.\n{known}")
    return path


def register(
    name: str, store: ObjectStore, settings: Settings, now: datetime | None = None
) -> tuple[Experiment, RegisteredExperiment]:
    """Read the file of an experiment and register what it says; return both.

    Args:
        name: the name of the file without `.toml`.
        store: the lake.
        settings: where the files are.
        now: the time; the clock's if None.

    Raises:
        PipelineError: the file cannot be used, or would move customers of a running experiment.
    """
    path = experiment_path(name, settings)
    experiment = read_experiment(path, read_segments(settings.segments or DEFAULT_SEGMENTS))
    record = registered(experiment, path.read_text(encoding="utf-8"))
    lake = ExperimentLake(store)
    old, etag = lake.read(record.name)
    if old == record:
        return experiment, record
    if old:
        before = _registered_experiment(old, path)
        refuse_changes(before, experiment, path, now or now_utc())
    others = (lake.read(other)[0] for other in lake.names() if other != record.name)
    check_overlap(record, [other for other in others if other])
    lake.register(record, etag)
    return experiment, record


def _registered_experiment(record: RegisteredExperiment, path: Path) -> Experiment:
    """Return what the registered copy of a file declares."""
    content = tomllib.loads(record.definition, parse_float=Decimal)
    return parse_experiment(path, record.definition, content)
