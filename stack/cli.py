"""The command line of the native stack: install, start, watch and stop the servers."""

from __future__ import annotations

import argparse

from customer_profiles.common.cli import run_command
from customer_profiles.common.environ import load_environ
from customer_profiles.common.logs import configure_logging
from stack import commands
from stack.install import install, install_spark_jars
from stack.settings import ROOT, Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    options = _parser().parse_args(arguments)
    return run_command(
        lambda: _run(options),
        interrupted="Stopped. Nothing is left half done; run the command again at any time.",
    )


def _run(options: argparse.Namespace) -> int:
    environ = load_environ(ROOT / ".env")
    console = configure_logging(environ)
    settings = Settings.from_env(environ)
    match options.command:
        case "install":
            install(settings, environ)
            return 0
        case "spark-jars":
            folder = install_spark_jars(settings, environ)
            console.print(f"Spark reads S3 and Kafka with the jars in {folder}")
            return 0
        case "up":
            return commands.up(settings, environ, console)
        case "status":
            return commands.status(settings, environ, console)
        case "down":
            return commands.down(settings, console)
        case "logs":
            return commands.logs(settings, options.names, options.follow, options.lines)
        case _:
            return commands.clean(settings, options.yes, console)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    subparsers.add_parser("install", help="build or download the servers that are missing")
    subparsers.add_parser(
        "spark-jars", help="download the jars with which Spark itself reads S3 and Kafka"
    )
    subparsers.add_parser("up", help="start the servers and return once each answers")
    subparsers.add_parser("down", help="stop the servers; data are kept")
    subparsers.add_parser(
        "status", help="show which servers run, since when, with how much memory and where"
    )
    logs = subparsers.add_parser("logs", help="print the end of the servers' logs")
    logs.add_argument(
        "names", nargs="*", metavar="SERVER", help="a server, such as kafka or spark-worker"
    )
    logs.add_argument("--follow", "-f", action="store_true", help="keep printing new lines")
    logs.add_argument("--lines", "-n", type=int, default=20, help="lines of each log")
    clean = subparsers.add_parser("clean", help="remove all data; the built servers are kept")
    clean.add_argument("--yes", action="store_true", help="do not ask")
    return parser
