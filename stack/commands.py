"""The commands of the native stack: up, down, status, logs and clean."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from customer_profiles.common import defaults
from customer_profiles.common.console import write_line
from customer_profiles.common.open_files import ensure_open_files
from stack import jvm
from stack.components import RUN_SPACE, check_space
from stack.elasticsearch import elasticsearch
from stack.errors import StackError
from stack.install import install
from stack.kafka import kafka
from stack.minio import minio
from stack.monitoring import monitoring, write_server_metrics
from stack.server import Server
from stack.settings import ROOT, Settings
from stack.spark import spark
from stack.supervisor import Supervisor

OWN_FOLDERS = ("data", "logs", "config", "run")
"""The folders in STACK_HOME that one stack has for itself."""
NOT_ALL_RUNNING = 3
"""Exit code of `status` if a server does not run."""
STATUS_WIDTH = 160
"""Columns of the status table. Addresses that are cut or folded cannot be copied."""


def describe_servers(settings: Settings, environ: Mapping[str, str]) -> list[Server]:
    """Describe every server of the stack, with the Java that suits each.

    Raises:
        StackError: a Java is missing that the set-up would have installed.
    """
    jvms = jvm.find(environ, settings.dist)
    for_kafka, for_spark = jvm.for_kafka(jvms), jvm.for_spark(jvms)
    for_elasticsearch = jvm.for_elasticsearch(jvms)
    if not (for_kafka and for_spark and for_elasticsearch):
        raise StackError("A Java that the servers need is missing. Run `make setup`.")
    return [
        kafka(settings, for_kafka),
        *spark(settings, for_spark),
        minio(settings),
        elasticsearch(settings, for_elasticsearch),
        *(monitoring(settings, environ) if settings.monitoring else ()),
    ]


def up(settings: Settings, environ: Mapping[str, str], console: Console) -> int:
    """Install missing components and start the servers that do not run. Returns the exit code."""
    began = time.monotonic()
    ensure_open_files()
    _close_to_others(settings, environ)
    install(settings, environ)
    check_space(settings.home, RUN_SPACE)
    supervisor = Supervisor(settings)
    started = supervisor.up(describe_servers(settings, environ))
    write_server_metrics(supervisor, settings.servers, _reports(environ))
    if started:
        seconds = time.monotonic() - began
        console.print(
            f"The stack is up ({seconds:.0f} s). Next: make ingest, make process, make status"
        )
    else:
        console.print("The stack was up already; every server answers.")
    return 0


def _close_to_others(settings: Settings, environ: Mapping[str, str]) -> None:
    """Take the folders of older versions away from everybody but their owner."""
    private = [settings.home / name for name in OWN_FOLDERS]
    reports = _reports(environ)
    # A folder elsewhere may have other uses.
    if {ROOT, settings.home} & set(reports.parents):
        private.append(reports)
    for folder in private:
        if folder.is_dir():
            folder.chmod(0o700)


def _reports(environ: Mapping[str, str]) -> Path:
    return (ROOT / (environ.get("REPORTS") or defaults.REPORTS)).resolve()


def status(settings: Settings, environ: Mapping[str, str], console: Console) -> int:
    """Print a table of the servers, and their disk space. Returns the exit code."""
    supervisor = Supervisor(settings)
    table = Table(box=None, pad_edge=False)
    for heading in ("server", "state", "pid", "since", "memory", "where"):
        justify = "right" if heading in ("pid", "memory") else "left"
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    memory, running = 0, 0
    for server in describe_servers(settings, environ):
        state = supervisor.state(server.name)
        if state is None:
            table.add_row(server.name, "[red]stopped[/]", "", "", "", "")
            continue
        answers = "[green]answers[/]" if server.ready() else "[yellow]does not answer[/]"
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(state.started))
        used = f"{state.memory / 1e6:,.0f} MB"
        table.add_row(server.name, answers, str(state.pid), since, used, server.address)
        memory, running = memory + state.memory, running + 1
    _print_wide(table, console)
    write_server_metrics(supervisor, settings.servers, _reports(environ))
    files = (settings.home / "data").rglob("*")
    stored = sum(file.stat().st_size for file in files if file.is_file())
    free = shutil.disk_usage(settings.home if settings.home.exists() else ROOT).free
    console.print(
        f"{running} of {len(settings.servers)} servers run in {memory / 1e6:,.0f} MB; "
        f"data take {stored / 1e6:,.0f} MB, the disk has {free / 1e9:,.0f} GB free. "
        f"Logs: {settings.home / 'logs'}"
    )
    if running < len(settings.servers):
        console.print("Next: make up")
        return NOT_ALL_RUNNING
    return 0


def _print_wide(table: Table, console: Console) -> None:
    """Print a table at its full width, even on a narrower terminal."""
    wide = Console(highlight=False, width=max(console.width, STATUS_WIDTH))
    with wide.capture() as capture:
        wide.print(table)
    console.print(Text.from_ansi(capture.get().rstrip()))


def down(settings: Settings, console: Console) -> int:
    """Stop the servers. Returns the exit code."""
    supervisor = Supervisor(settings)
    # Include the recorded servers: there may be workers that the settings no longer name.
    stopped = supervisor.down(sorted({*settings.servers, *supervisor.recorded_servers()}))
    if stopped:
        console.print(f"Stopped {', '.join(stopped)}. Data are kept.")
    else:
        console.print("Nothing was running.")
    return 0


def logs(settings: Settings, names: Sequence[str], follow: bool, lines: int) -> int:
    """Print the end of the servers' logs. Returns the exit code.

    Args:
        settings: locate the logs.
        names: servers; all servers if empty.
        follow: keep printing new lines.
        lines: how many lines of each log to print.

    Raises:
        StackError: there is no such server, or no server has a log yet.
    """
    unknown = sorted(set(names) - set(settings.servers))
    if unknown:
        raise StackError(
            f"There is no server {unknown[0]}; there are {', '.join(settings.servers)}."
        )
    supervisor = Supervisor(settings)
    paths = [supervisor.log_path(name) for name in names or settings.servers]
    files = [str(path) for path in paths if path.exists()]
    if not files:
        raise StackError("There are no logs yet. Run `make up`.")
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), *files]
    # Servers log what clients send to them, which may hold escape sequences for this terminal.
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tail:
        for line in tail.stdout or ():
            write_line(line.decode(errors="backslashreplace").rstrip("\n"))
    return tail.returncode


def clean(settings: Settings, confirmed: bool, console: Console) -> int:
    """Stop the servers and remove all data, after a question. Returns the exit code.

    Raises:
        StackError: the question cannot be asked, because there is no terminal.
    """
    folders = [settings.home / name for name in OWN_FOLDERS]
    present = [folder for folder in folders if folder.exists()]
    if not present:
        console.print("There are no data to remove.")
        return 0
    if not confirmed:
        if not sys.stdin.isatty():
            raise StackError(
                "This removes all data of the stack. To skip the question, run `make clean YES=1`."
            )
        console.print(
            f"This stops the stack and removes topics, lake and index under {settings.home}."
        )
        if input("Type yes to continue: ").strip().lower() != "yes":
            console.print("Nothing was removed.")
            return 1
    down(settings, console)
    for folder in present:
        shutil.rmtree(folder, ignore_errors=True)
    console.print("Removed all data. The built servers are kept.")
    return 0
