"""The command line of the monitoring application: alerts, health and the service."""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
import threading
from contextlib import closing
from datetime import timedelta
from functools import partial

from rich.console import Console

from customer_profiles.common.cli import run_command
from customer_profiles.common.clock import now_utc
from customer_profiles.common.environ import load_environ
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.logs import configure_logging
from customer_profiles.monitoring import render
from customer_profiles.monitoring.alerts import notifier
from customer_profiles.monitoring.alerts.texts import TEST_BODY, TEST_TITLE
from customer_profiles.monitoring.health.model import EXIT_CODES, worst
from customer_profiles.monitoring.health.survey import look
from customer_profiles.monitoring.service import Monitor, health_json, sender_of, watch
from customer_profiles.monitoring.settings import Settings
from customer_profiles.telemetry.endpoint import MetricsServer

NOT_DELIVERED = 5
"""Exit code of `alerts` if a message could not be delivered."""
_DURATION = re.compile(r"([0-9]{1,4})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line without the program; the process's own if None.

    Returns:
        The exit code: 0; 1 after an error; 130 after Ctrl-C; for `health`, 3 if something is
        degraded and 4 if something is down; for `alerts`, 5 if a message was not delivered.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["quality"]:
        # The other commands need no Polars, whose import takes long.
        from customer_profiles.monitoring.quality.cli import main as quality  # noqa: PLC0415

        return quality(words[1:])
    options = _parser().parse_args(words)
    return run_command(lambda: _run(options), interrupted="Stopped.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m customer_profiles.monitoring", description=__doc__
    )
    commands = parser.add_subparsers(dest="command", required=True)
    alerts = commands.add_parser(
        "alerts",
        help="look for alerts, tell people what is new, and list what is firing",
        description="Exit code 0: done; 5: a message could not be delivered.",
    )
    how = alerts.add_mutually_exclusive_group()
    how.add_argument("--test", action="store_true", help="send a test message to every address")
    how.add_argument(
        "--watch", action="store_true", help="do so every ALERT_INTERVAL seconds until Ctrl-C"
    )
    how.add_argument(
        "--silence",
        metavar="ALERT",
        help="tell nobody of an alert for a while: its fingerprint, its name, or a beginning and *",
    )
    how.add_argument("--unsilence", metavar="ALERT", help="end a silence")
    alerts.add_argument(
        "--for", dest="duration", type=_duration, default="24h", help="of a silence: 30m, 24h, 7d"
    )
    alerts.add_argument(
        "--list", action="store_true", help="only list, without a look and a message"
    )
    health = commands.add_parser(
        "health",
        help="show how healthy everything is",
        description="Exit code 0: everything is ok; 3: something is degraded; 4: something is "
        "down; 1: the command itself failed.",
    )
    health.add_argument("--format", choices=("text", "json"), default="text")
    # Its arguments are those of `quality.cli`.
    commands.add_parser("quality", help="evaluate the checks of data quality")
    commands.add_parser("serve", help="serve metrics and health, and tell people, until Ctrl-C")
    return parser


def _duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{text} is no duration: write 30m, 24h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _run(options: argparse.Namespace) -> int:
    environ = load_environ()
    console = configure_logging(environ)
    settings = Settings.from_env(environ)
    match options.command:
        case "health":
            return _health(settings, options.format, console)
        case "serve":
            return _serve(settings, console, with_endpoint=True)
        case _:
            return _alerts(settings, options, console)


def _health(settings: Settings, form: str, console: Console) -> int:
    survey = look(settings)
    if form == "json":
        print(json.dumps(health_json(survey), indent=1))
    else:
        render.print_health(survey.components, console)
    return EXIT_CODES[worst(survey.components)]


def _alerts(settings: Settings, options: argparse.Namespace, console: Console) -> int:
    if options.test:
        return _test(settings, console)
    if options.watch:
        return _serve(settings, console, with_endpoint=False)
    monitor = Monitor(settings)
    if options.silence:
        return _silence(monitor, options.silence, options.duration, console)
    if options.unsilence:
        monitor.notifier.change(partial(notifier.unsilenced, pattern=options.unsilence))
        console.print(f"{options.unsilence} is no longer silenced", markup=False)
        return 0
    if options.list:
        render.print_alerts(monitor.notifier.read(), now_utc(), console)
        return 0
    evaluation = monitor.evaluate(monitor.look())
    render.print_alerts(evaluation.state, now_utc(), console)
    if not (settings.addresses or settings.alertmanager_url):
        console.print("Nobody is told: set ALERT_URLS in .env (docs/monitoring.md)")
    return NOT_DELIVERED if evaluation.delivered is False else 0


def _test(settings: Settings, console: Console) -> int:
    sender = sender_of(settings)
    if sender is None:
        raise PipelineError(
            "There is nobody to tell: ALERT_URLS is not set.\n"
            "Set it in .env, for example to mailto:// or slack:// (docs/monitoring.md)."
        )
    if not sender.send(TEST_TITLE, TEST_BODY):
        return NOT_DELIVERED
    console.print("The test message was delivered")
    return 0


def _silence(monitor: Monitor, pattern: str, duration: timedelta, console: Console) -> int:
    until = now_utc() + duration
    state = monitor.notifier.change(partial(notifier.silenced, pattern=pattern, until=until))
    covered = sum(
        notifier.is_silenced(known.alert, state.silences[-1:], now_utc()) for known in state.alerts
    )
    console.print(
        f"{pattern} is silenced until {until:%Y-%m-%d %H:%M} UTC; it covers {covered} of "
        f"{len(state.alerts)} known alerts",
        markup=False,
    )
    return 0


def _serve(settings: Settings, console: Console, *, with_endpoint: bool) -> int:
    """Look and evaluate until Ctrl-C or SIGTERM."""
    monitor = Monitor(settings)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if not with_endpoint:
        console.print(f"Looking for alerts every {settings.alert_interval_s:g} s; Ctrl-C ends it")
        watch(monitor, stop)
        return 0
    server = MetricsServer(
        settings.monitoring_port, monitor.render, host=settings.monitoring_host, pages=monitor.page
    )
    with closing(server):
        address = f"http://{settings.monitoring_host}:{settings.monitoring_port}"
        console.print(f"Metrics are at {address}/metrics, health at {address}/health/ready")
        watch(monitor, stop)
    return 0
