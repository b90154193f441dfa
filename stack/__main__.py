"""`python -m stack`: install, start, watch and stop the native stack."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping

from dotenv import dotenv_values
from rich.console import Console
from rich.table import Table

from stack import jvm
from stack.elasticsearch import elasticsearch
from stack.errors import StackError
from stack.install import RUN_SPACE, check_space, install, spark_jars
from stack.kafka import kafka
from stack.minio import minio
from stack.server import Server
from stack.settings import ROOT, Settings
from stack.spark import spark
from stack.supervisor import Supervisor

console = Console(highlight=False, soft_wrap=True)


def say(line: str) -> None:
    console.print(f"  {line}", markup=False)


def servers(settings: Settings, environ: Mapping[str, str]) -> list[Server]:
    """Every server of the stack, with the Java that suits each.

    Raises:
        StackError: where a Java is missing that the set-up would have brought.
    """
    found = jvm.find(environ, settings.dist)
    for_kafka, for_spark, for_elasticsearch = jvm.for_kafka(found), jvm.for_spark(found), jvm.for_elasticsearch(found)
    if not (for_kafka and for_spark and for_elasticsearch):
        raise StackError("A Java that the servers need is missing. Run `make setup`.")
    return [
        kafka(settings, for_kafka),
        *spark(settings, for_spark),
        minio(settings),
        elasticsearch(settings, for_elasticsearch),
    ]


def up(settings: Settings, environ: Mapping[str, str]) -> int:
    began = time.monotonic()
    install(settings, environ, say)
    check_space(settings.home, RUN_SPACE)
    started = Supervisor(settings, say).up(servers(settings, environ))
    if started:
        console.print(
            f"The stack is up ({time.monotonic() - began:.0f} s). Next: make ingest, make process, make status"
        )
    else:
        console.print("The stack was up already; every server answers.")
    return 0


def status(settings: Settings, environ: Mapping[str, str]) -> int:
    supervisor = Supervisor(settings, say)
    table = Table(box=None, pad_edge=False)
    for heading in ("server", "state", "pid", "since", "memory", "where"):
        # Lines are as long as they are: addresses that are cut or folded cannot be copied.
        table.add_column(heading, justify="right" if heading in ("pid", "memory") else "left", no_wrap=True)
    total, running = 0, 0
    for server in servers(settings, environ):
        state = supervisor.state(server.name)
        if state is None:
            table.add_row(server.name, "[red]stopped[/]", "", "", "", "")
            continue
        answers = "[green]answers[/]" if server.ready() else "[yellow]does not answer[/]"
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(state.started))
        table.add_row(server.name, answers, str(state.pid), since, f"{state.memory / 1e6:,.0f} MB", server.address)
        total, running = total + state.memory, running + 1
    Console(highlight=False, width=max(console.width, 160)).print(table)
    usage = shutil.disk_usage(settings.home if settings.home.exists() else ROOT)
    stored = sum(file.stat().st_size for file in (settings.home / "data").rglob("*") if file.is_file())
    console.print(
        f"{running} of {len(settings.servers)} servers run in {total / 1e6:,.0f} MB; data take {stored / 1e6:,.0f} MB, "
        f"the disk has {usage.free / 1e9:,.0f} GB free. Logs: {settings.home / 'logs'}"
    )
    if running < len(settings.servers):
        console.print("Next: make up")
    return 0 if running == len(settings.servers) else 3


def down(settings: Settings) -> int:
    supervisor = Supervisor(settings, say)
    # Also those of another number of workers than there are to be now.
    stopped = supervisor.down(sorted({*settings.servers, *supervisor.known()}))
    console.print(f"Stopped {', '.join(stopped)}. Data are kept." if stopped else "Nothing was running.")
    return 0


def logs(settings: Settings, names: list[str], follow: bool, lines: int) -> int:
    supervisor = Supervisor(settings, say)
    files = [str(supervisor.log(name)) for name in names or settings.servers if supervisor.log(name).exists()]
    if not files:
        raise StackError("There are no logs yet. Run `make up`.")
    return subprocess.call(["tail", "-n", str(lines), *(["-F"] if follow else []), *files])


def clean(settings: Settings, sure: bool) -> int:
    removed = [settings.home / name for name in ("data", "logs", "config", "run")]
    present = [folder for folder in removed if folder.exists()]
    if not present:
        console.print("There are no data to remove.")
        return 0
    if not sure:
        if not sys.stdin.isatty():
            raise StackError("This removes all data of the stack. To do so without a question, run `make clean YES=1`.")
        console.print(f"This stops the stack and removes topics, lake and index under {settings.home}.")
        if input("Type yes to go on: ").strip().lower() != "yes":
            console.print("Nothing was removed.")
            return 1
    down(settings)
    for folder in present:
        shutil.rmtree(folder, ignore_errors=True)
    console.print("Removed all data. The built servers are kept.")
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="build or fetch the servers that are missing")
    commands.add_parser("spark-jars", help="fetch the jars with which Spark itself reads S3 and Kafka")
    commands.add_parser("up", help="start the servers and return once each answers")
    commands.add_parser("down", help="stop the servers; data are kept")
    commands.add_parser("status", help="what runs, since when, with how much memory and where")
    tail = commands.add_parser("logs", help="the end of the servers' logs")
    tail.add_argument("names", nargs="*", metavar="SERVER", help="such as kafka or spark-worker")
    tail.add_argument("--follow", "-f", action="store_true", help="keep printing")
    tail.add_argument("--lines", "-n", type=int, default=20)
    remove = commands.add_parser("clean", help="remove all data; the built servers are kept")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    given = parser.parse_args(arguments)
    environ = {key: value or "" for key, value in {**dotenv_values(ROOT / ".env"), **os.environ}.items()}
    try:
        settings = Settings.from_env(environ)
        match given.command:
            case "install":
                install(settings, environ, say)
                return 0
            case "spark-jars":
                console.print(f"Spark reads S3 and Kafka with the jars in {spark_jars(settings, environ, say)}")
                return 0
            case "up":
                return up(settings, environ)
            case "status":
                return status(settings, environ)
            case "down":
                return down(settings)
            case "logs":
                unknown = sorted(set(given.names) - set(settings.servers))
                if unknown:
                    raise StackError(f"There is no server {unknown[0]}; there are {', '.join(settings.servers)}.")
                return logs(settings, given.names, given.follow, given.lines)
            case _:
                return clean(settings, given.yes)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Nothing is half done; run the command again when you like.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
