"""The commands that need no Spark: set up, summarise, show a profile, restore an index."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from customer_profiles.common.console import printable_json, write_line
from customer_profiles.common.errors import PipelineError
from customer_profiles.lake.batch_log import BatchLog
from customer_profiles.lake.gaps import open_gaps, read_gaps
from customer_profiles.lake.profiles import find_profile
from customer_profiles.lake.quarantine import read_quarantine
from customer_profiles.lake.s3 import S3ObjectStore
from customer_profiles.processing.render import (
    print_best_customers,
    print_gaps,
    print_next_steps,
    print_waiting,
    summary,
)
from customer_profiles.processing.report import RunReport
from customer_profiles.processing.settings import Settings
from customer_profiles.processing.stages.quarantine import describe_waiting
from customer_profiles.processing.state import ProfilesState
from customer_profiles.processing.tasks.config import TaskConfig
from customer_profiles.profiles.schema import PROFILE_SCHEMA
from customer_profiles.profiles.segments import DEFAULT_SEGMENTS, read_segments
from customer_profiles.search.accounts import READER, set_accounts
from customer_profiles.search.documents import documents
from customer_profiles.search.metrics_indices import MetricsIndices
from customer_profiles.search.profile_index import ProfileIndex

if TYPE_CHECKING:
    from rich.console import Console

BEST_CUSTOMERS = 3


def run_query(arguments: argparse.Namespace, settings: Settings, console: Console) -> int:
    """Run a command that needs no Spark; return the exit code.

    Raises:
        PipelineError: a server does not answer; the message names the next action.
    """
    if arguments.command == "profile":
        return show_profile(settings, arguments.user_id, arguments.origin)
    if arguments.command in ("verify", "repair"):
        # Only these two read everything.
        from customer_profiles.processing.integrity.commands import run_integrity  # noqa: PLC0415

        return run_integrity(arguments, settings, console)
    commands = {"summary": show_summary, "setup": set_up, "restore-index": restore_index}
    return commands[arguments.command](settings, console)


def set_up(settings: Settings, console: Console) -> int:
    """Create what a new stack lacks; a second time nothing changes."""
    tasks = TaskConfig.from_settings(settings)
    S3ObjectStore(tasks.lake).ensure_bucket()
    index = ProfileIndex(tasks.search)
    index.ensure()
    MetricsIndices(tasks.search).ensure()
    accounts = set_accounts(
        index,
        jobs_password=settings.elastic_jobs_password.get_secret_value(),
        reader_password=settings.elastic_reader_password.get_secret_value(),
        kibana_password=settings.kibana_password.get_secret_value(),
    )
    if password := settings.minio_jobs_password.get_secret_value():
        # Only the set-up of containers needs minio-py.
        from customer_profiles.lake.accounts import set_jobs_account  # noqa: PLC0415

        set_jobs_account(tasks.lake, password)
    suffix = f", and the accounts {', '.join(accounts)}" if accounts else ""
    console.print(f"The lake and the index are there{suffix}")
    return 0


def restore_index(settings: Settings, console: Console) -> int:
    """Promote the index that was live before the last rebuild."""
    before, live = ProfileIndex(TaskConfig.from_settings(settings).search).restore()
    console.print(
        f"Readers of customer_profiles see {live.name} again, and {before.name} no more.\n"
        "Next: make process, which brings it up to date. The same command goes back."
    )
    return 0


def show_summary(settings: Settings, console: Console) -> int:
    """Print all profiles at a glance, the best customers and where to look next."""
    tasks = TaskConfig.from_settings(settings)
    report = RunReport()
    store = S3ObjectStore(tasks.lake)
    state = ProfilesState.load(store)
    report.add_totals(
        state.totals.values(), read_segments(settings.segments or DEFAULT_SEGMENTS).version
    )
    console.print(summary(report))
    print_gaps([gap.to_json() for gap in open_gaps(read_gaps(store))], console)
    if quarantine := read_quarantine(store):
        print_waiting(describe_waiting(BatchLog(store), quarantine), console)
    best = ProfileIndex(tasks.search).top_by_revenue(BEST_CUSTOMERS)
    print_best_customers(best, console)
    print_next_steps(
        user_id=best[0]["user_id"] if best else "…",
        url=settings.elasticsearch_shown_url or settings.elasticsearch_url,
        curl_user=_curl_user(settings),
        console=console,
    )
    return 0


def _curl_user(settings: Settings) -> str:
    """Return curl's option with an account that may read; nothing if there are no accounts."""
    if settings.elasticsearch_shown_url:
        account, name = READER, "ELASTIC_READER_PASSWORD"
    elif settings.elasticsearch_password.get_secret_value():
        account, name = settings.elasticsearch_user, "ELASTIC_PASSWORD"
    else:
        return ""
    # The command reads the password from .env, so that it is not on the screen.
    return f'--user "{account}:$(sed -n s/^{name}=//p .env)" '


def show_profile(settings: Settings, user_id: str, origin: str) -> int:
    """Print one profile from the index or the lake; warn where the two differ."""
    tasks = TaskConfig.from_settings(settings)
    sources: dict[str, Callable[[], Mapping[str, object] | None]] = {
        "index": partial(ProfileIndex(tasks.search).get, user_id),
        "lake": partial(_lake_document, S3ObjectStore(tasks.lake), user_id),
    }
    profile = sources.pop(origin)()
    ((other, read_other),) = sources.items()
    try:
        _warn_if_different(origin, profile, other, read_other())
    except PipelineError as error:
        write_line(f"warning: not compared with the {other}: {error}", sys.stderr)
    if profile is None:
        raise PipelineError(
            f"There is no profile of a customer {user_id} in the {origin}.\n"
            "Is the id right, and has `make process` run?"
        )
    write_line(printable_json(json.dumps(profile, indent=2, ensure_ascii=False)))
    return 0


def _warn_if_different(
    origin: str,
    profile: Mapping[str, object] | None,
    other: str,
    other_profile: Mapping[str, object] | None,
) -> None:
    ours, theirs = profile or {}, other_profile or {}
    fields = [name for name in PROFILE_SCHEMA if ours.get(name, ...) != theirs.get(name, ...)]
    if not fields:
        return
    only_in = f"it is only in the {origin if profile else other}"
    difference = ", ".join(fields) if profile and other_profile else only_in
    write_line(
        f"warning: index and lake differ: {difference}.\n"
        "`make process` brings the index up to the lake; one that was restored, `make rebuild`.",
        sys.stderr,
    )


def _lake_document(store: S3ObjectStore, user_id: str) -> dict[str, object] | None:
    """Return a customer's profile from the lake, with the values of the index's document."""
    texts = documents(find_profile(store, user_id))["document"].to_list()
    return json.loads(texts[0]) if texts else None
