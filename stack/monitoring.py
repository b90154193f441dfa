"""Prometheus, Alertmanager and the monitoring service, natively: `make up MONITORING=1`.

Prometheus and Alertmanager come from the system's packages. All three listen on loopback.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from customer_profiles.common import defaults
from customer_profiles.telemetry.registry import Registry
from customer_profiles.telemetry.textfile import textfile, write_textfile
from stack.errors import StackError
from stack.server import Server, http_ok, write_config
from stack.settings import ROOT, Settings
from stack.supervisor import Supervisor

ALERTMANAGERS = ("prometheus-alertmanager", "alertmanager")
"""The program has another name in Debian's package."""
RULES = ROOT / "deploy" / "monitoring" / "rules"
RETENTION = "15d"


def monitoring(settings: Settings, environ: Mapping[str, str]) -> list[Server]:
    """Describe the three servers.

    Raises:
        StackError: Prometheus or Alertmanager is not installed.
    """
    ports = {name: _port(environ, name) for name in defaults.PORTS}
    return [
        _alertmanager(settings, environ, ports),
        _prometheus(settings, environ, ports),
        _service(settings, environ, ports),
    ]


def _port(environ: Mapping[str, str], name: str) -> int:
    return int(environ.get(name) or defaults.PORTS[name])


def _program(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    raise StackError(
        f"{names[0]} is not installed.\nInstall it (on Debian: apt-get install prometheus "
        "prometheus-alertmanager), or run `make up` without MONITORING=1."
    )


def _alertmanager(
    settings: Settings, environ: Mapping[str, str], ports: Mapping[str, int]
) -> Server:
    own = ROOT / (environ.get("ALERTMANAGER_CONFIG") or defaults.ALERTMANAGER_CONFIG)
    address = f"{defaults.HOST}:{ports['ALERTMANAGER_PORT']}"
    return Server(
        name="alertmanager",
        command=[
            _program(*ALERTMANAGERS),
            f"--config.file={own}",
            f"--storage.path={settings.data('alertmanager')}",
            f"--web.listen-address={address}",
            # One instance: no cluster, which would listen on every address.
            "--cluster.listen-address=",
        ],
        ports=("ALERTMANAGER_PORT",),
        ready=lambda: http_ok(f"http://{address}/-/ready"),
        address=f"http://{address}",
        prepare=lambda: settings.data("alertmanager").mkdir(parents=True, exist_ok=True),
    )


def scrape_interval(environ: Mapping[str, str]) -> str:
    """Return how often Prometheus asks, such as `15s`."""
    return environ.get("SCRAPE_INTERVAL") or defaults.SCRAPE_INTERVAL


def _prometheus(settings: Settings, environ: Mapping[str, str], ports: Mapping[str, int]) -> Server:
    config = settings.home / "config" / "prometheus.yml"
    token = settings.home / "config" / "minio-metrics-token"
    address = f"{defaults.HOST}:{ports['PROMETHEUS_PORT']}"

    stream_port = environ.get("METRICS_PORT")
    content = prometheus_config(
        {**ports, "METRICS_PORT": int(stream_port)} if stream_port else ports,
        str(token),
        scrape_interval(environ),
    )

    def prepare() -> None:
        settings.data("prometheus").mkdir(parents=True, exist_ok=True)
        write_config(token, minio_token(settings.minio_user, settings.minio_password))
        # JSON is YAML, too, and needs no library.
        write_config(config, json.dumps(content, indent=1))

    return Server(
        name="prometheus",
        command=[
            _program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={settings.data('prometheus')}",
            f"--storage.tsdb.retention.time={RETENTION}",
            f"--web.listen-address={address}",
        ],
        ports=("PROMETHEUS_PORT",),
        ready=lambda: http_ok(f"http://{address}/-/ready"),
        address=f"http://{address}",
        prepare=prepare,
    )


def prometheus_config(
    ports: Mapping[str, int], minio_token_file: str, interval: str
) -> dict[str, object]:
    """Return what Prometheus scrapes: every process of the pipeline that answers on loopback.

    Args:
        ports: by the names of the settings. `METRICS_PORT` is that of a stream, if it has one.
        minio_token_file: the file with the token for MinIO's metrics.
        interval: between two scrapes, such as `15s`.
    """

    def targets(port: str) -> list[dict[str, list[str]]]:
        return [{"targets": [f"{defaults.HOST}:{ports[port]}"]}]

    return {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(RULES / "*.yml")],
        "alerting": {"alertmanagers": [{"static_configs": targets("ALERTMANAGER_PORT")}]},
        "scrape_configs": [
            {
                "job_name": "monitoring",
                # The service collects the files of runs, which have names of their own.
                "honor_labels": True,
                "static_configs": targets("MONITORING_PORT"),
            },
            *(
                [{"job_name": "stream", "static_configs": targets("METRICS_PORT")}]
                if "METRICS_PORT" in ports
                else []
            ),
            {"job_name": "page", "static_configs": targets("DASHBOARD_PORT")},
            {
                "job_name": "minio",
                "metrics_path": "/minio/v2/metrics/cluster",
                "bearer_token_file": minio_token_file,
                "static_configs": targets("MINIO_PORT"),
            },
            {
                "job_name": "spark-master",
                "metrics_path": "/metrics/master/prometheus/",
                "static_configs": targets("SPARK_UI_PORT"),
            },
            {"job_name": "prometheus", "static_configs": targets("PROMETHEUS_PORT")},
            {"job_name": "alertmanager", "static_configs": targets("ALERTMANAGER_PORT")},
        ],
    }


def minio_token(user: str, password: str) -> str:
    """Return the token with which MinIO shows its metrics: a JWT that the root's key signs."""

    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    # MinIO asks for an end of the token; that of its own client is in a hundred years, too.
    claims = {"exp": 4_900_000_000, "iss": "prometheus", "sub": user}
    head = {"alg": "HS512", "typ": "JWT"}
    text = ".".join(encode(json.dumps(part).encode()) for part in (head, claims))
    signature = hmac.new(password.encode(), text.encode(), hashlib.sha512).digest()
    return f"{text}.{encode(signature)}"


def _service(settings: Settings, environ: Mapping[str, str], ports: Mapping[str, int]) -> Server:
    address = f"http://{defaults.HOST}:{ports['MONITORING_PORT']}"
    alertmanager = f"http://{defaults.HOST}:{ports['ALERTMANAGER_PORT']}"
    reports = ROOT / (environ.get("REPORTS") or defaults.REPORTS)
    return Server(
        name="monitoring",
        command=[sys.executable, "-m", "customer_profiles.monitoring", "serve"],
        # Servers run in a folder of their own, where there is no .env.
        env={
            **environ,
            "STACK_HOME": str(settings.home),
            "REPORTS": str(reports),
            # With addresses of Apprise, the service tells people itself, of everything.
            "ALERTMANAGER_URL": environ.get("ALERTMANAGER_URL")
            or ("" if environ.get("ALERT_URLS") else alertmanager),
        },
        ports=("MONITORING_PORT",),
        ready=lambda: http_ok(f"{address}/health/live"),
        address=f"{address}/metrics",
    )


def write_server_metrics(supervisor: Supervisor, names: Sequence[str], reports: Path) -> None:
    """Write which servers run, since when and with how much memory, as `supervisor.prom`."""
    registry = Registry()
    for name in names:
        state = supervisor.state(name)
        registry.set("server_running", int(state is not None), server=name)
        if state is not None:
            registry.set("server_resident_memory_bytes", state.memory, server=name)
            registry.set("server_start_timestamp_seconds", round(state.started), server=name)
    # Metrics are no reason for a command to fail.
    with suppress(OSError):
        write_textfile(textfile(reports, "supervisor"), registry)
