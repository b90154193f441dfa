"""The command line of the dashboards: serve the page, write the report, set Kibana up."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress

import uvicorn
from rich.console import Console

from customer_profiles.common.cli import run_command
from customer_profiles.common.defaults import HOST
from customer_profiles.common.environ import load_environ
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.logs import configure_logging
from customer_profiles.dashboards.kibana import KibanaError, data_range, import_objects, said
from customer_profiles.dashboards.queries import Dashboard
from customer_profiles.dashboards.report import write_report
from customer_profiles.dashboards.saved_objects import to_ndjson
from customer_profiles.dashboards.server import create_app
from customer_profiles.dashboards.settings import Settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line without the program; the process's own if None.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    return run_command(lambda: _run(options), interrupted="Stopped.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m customer_profiles.dashboards", description=__doc__
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve the page on loopback until Ctrl-C")
    commands.add_parser("report", help="write the charts as one HTML file and as PNGs")
    kibana = commands.add_parser("kibana", help="print Kibana's saved objects, or import them")
    kibana.add_argument(
        "--import",
        dest="kibana_url",
        metavar="URL",
        help="import them into the Kibana at this address, over older versions",
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    environ = load_environ()
    console = configure_logging(environ)
    match options.command:
        case "kibana":
            return _kibana(options.kibana_url, environ, console)
        case "report":
            settings = Settings.from_env(environ)
            page, *pictures = write_report(Dashboard(settings), settings.reports)
            folder = pictures[0].parent
            console.print(
                f"Written: {page}, and {len(pictures)} pictures in {folder}", markup=False
            )
            return 0
        case _:
            return _serve(Settings.from_env(environ), console)


def _kibana(url: str | None, environ: Mapping[str, str], console: Console) -> int:
    if not url:
        sys.stdout.write(to_ndjson())
        return 0
    settings = Settings.from_env(environ)
    password = settings.elasticsearch_password.get_secret_value()
    try:
        time_range = data_range(settings.elasticsearch_url, password)
        ndjson = to_ndjson(time_range, settings.dashboard_port)
        count = import_objects(url, password, ndjson)
    except KibanaError as error:
        raise PipelineError(str(error)) from error
    console.print(said(count, time_range), markup=False)
    return 0


def _serve(settings: Settings, console: Console) -> int:
    """Serve the page until Ctrl-C."""
    port = settings.dashboard_port
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        raise PipelineError(
            f"Port {port} is taken, perhaps by another page.\n"
            f"Open http://{HOST}:{port}, or set another DASHBOARD_PORT in .env."
        ) from error
    dashboard = Dashboard(settings)
    # Fail now, with a clear message, if Elasticsearch does not answer.
    dashboard.choices()
    # log_config=None: uvicorn's records go to the handler of this project.
    config = uvicorn.Config(
        create_app(dashboard, dashboard.experiment_routes()),
        log_config=None,
        log_level="warning",
        access_log=False,
    )
    # From here on, a request waits for its answer instead of being refused.
    listener.listen()
    console.print(f"The dashboards are at http://{HOST}:{port}; Ctrl-C ends them")
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listener])
    return 0
