"""`python -m dashboards`: the page, the report, and the saved objects of Kibana."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from contextlib import suppress

import uvicorn
from dotenv import dotenv_values

from dashboards.kibana import KibanaError, import_objects, ndjson
from dashboards.report import write_report
from dashboards.server import Dashboard, application
from processing.errors import ProcessError
from processing.settings import Settings

PORT = 8050


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="show the page on loopback until Ctrl-C")
    commands.add_parser("report", help="write the charts as one HTML file and as PNGs")
    kibana = commands.add_parser("kibana", help="print Kibana's saved objects, or import them")
    kibana.add_argument(
        "--import", dest="target", metavar="URL", help="into the Kibana at this address, over older ones"
    )
    given = parser.parse_args(arguments)
    environ = {key: value or "" for key, value in {**dotenv_values(".env"), **os.environ}.items()}
    try:
        if given.command == "kibana":
            if not given.target:
                sys.stdout.write(ndjson())
                return 0
            count = import_objects(given.target, environ.get("ELASTIC_PASSWORD", ""))
            print(f"{count} saved objects are in Kibana")
            return 0
        settings = Settings.from_env(environ)
        if given.command == "report":
            written = write_report(Dashboard(settings), settings.reports)
            print(f"Written: {written[0]}, and {len(written) - 1} pictures in {written[1].parent}")
            return 0
        return serve(settings, environ)
    except (ProcessError, KibanaError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def serve(settings: Settings, environ: dict[str, str]) -> int:
    """Show the page until Ctrl-C."""
    given = environ.get("DASHBOARD_PORT") or str(PORT)
    if not given.isdigit() or not 0 < int(given) < 65_536:
        raise ProcessError(f"DASHBOARD_PORT={given} is no port. Mend it in .env.")
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", int(given)))
    except OSError as error:
        raise ProcessError(
            f"Port {given} is taken, perhaps by a page that is shown already.\n"
            f"Open http://127.0.0.1:{given}, or set another DASHBOARD_PORT in .env."
        ) from error
    Dashboard(settings).choices()
    server = uvicorn.Server(uvicorn.Config(application(settings), log_level="warning", access_log=False))
    # Who comes from now on is answered, if a moment later.
    listening.listen()
    print(f"The dashboards are at http://127.0.0.1:{given}; Ctrl-C ends them", flush=True)
    with suppress(KeyboardInterrupt):
        server.run([listening])
    return 0


if __name__ == "__main__":
    sys.exit(main())
