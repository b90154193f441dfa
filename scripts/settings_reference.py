"""The page of all settings: docs/reference/settings.md.

Names, defaults and meanings come from the settings classes of the applications. The native stack,
the files of Compose and the shell scripts say which settings they use. `.env.example` gives the
order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from customer_profiles.common import defaults
from customer_profiles.common.errors import PipelineError
from customer_profiles.common.settings import PipelineSettings, environment_names
from customer_profiles.dashboards.settings import Settings as DashboardsSettings
from customer_profiles.experimentation.settings import Settings as ExperimentationSettings
from customer_profiles.ingestion.settings import Settings as IngestionSettings
from customer_profiles.monitoring.settings import Settings as MonitoringSettings
from customer_profiles.processing.settings import Settings as ProcessingSettings
from stack.monitoring import scrape_interval
from stack.settings import Settings as StackSettings

ROOT = Path(__file__).resolve().parent.parent

APPLICATIONS: Mapping[str, type[PipelineSettings]] = {
    "ingestion": IngestionSettings,
    "processing": ProcessingSettings,
    "dashboards": DashboardsSettings,
    "monitoring": MonitoringSettings,
    "experimentation": ExperimentationSettings,
}
REQUIRED = "required"

# Settings that no class of an application has: those of the servers alone.
OTHER_SETTINGS: Mapping[str, tuple[str, str]] = {
    "STACK": (
        "",
        "`docker` or `native`. Empty: `docker` if a Docker engine answers, else `native`.",
    ),
    "COMPOSE_PROFILES": (
        "",
        "`kibana` also starts Kibana, which takes 768 MB; `monitoring` starts Prometheus, "
        "Alertmanager, Grafana and the monitoring service.",
    ),
    **{
        name: (str(defaults.PORTS[name]), meaning)
        for name, meaning in {
            "KAFKA_CONTROLLER_PORT": "Port of Kafka's controller.",
            "MINIO_CONSOLE_PORT": "Port of MinIO's page.",
            "ELASTICSEARCH_TRANSPORT_PORT": "Port of Elasticsearch's internal protocol.",
            "KIBANA_PORT": "Port of Kibana.",
            "PROMETHEUS_PORT": "Port of Prometheus.",
            "ALERTMANAGER_PORT": "Port of Alertmanager.",
            "GRAFANA_PORT": "Port of Grafana.",
        }.items()
    },
    "KIBANA_ENCRYPTION_KEY": (
        "",
        "Key with which Kibana encrypts saved objects. `make setup` generates it.",
    ),
    "GRAFANA_PASSWORD": (
        "",
        "Password of Grafana's account `admin`. `make setup` generates it.",
    ),
    "SPARK_WORKER_MEMORY": (
        defaults.SPARK_WORKER_MEMORY,
        "Memory that each Spark worker gives to executors.",
    ),
    "MONITORING": (
        "0",
        "1 also starts Prometheus, Alertmanager and the monitoring service natively.",
    ),
    "ALERTMANAGER_CONFIG": (
        defaults.ALERTMANAGER_CONFIG,
        "Configuration of the native Alertmanager, with its receivers.",
    ),
    "SCRAPE_INTERVAL": (defaults.SCRAPE_INTERVAL, "How often the native Prometheus asks."),
    "OTEL_EXPORTER_OTLP_ENDPOINT": (
        "",
        "Address of an OpenTelemetry collector that gets the traces of runs.",
    ),
    "SPARK_CONTAINER_MEMORY": (
        defaults.CONTAINER_SPARK_MEMORY,
        "Memory limit of the container of each Spark worker.",
    ),
}


@dataclass(slots=True)
class Setting:
    """One setting as the page shows it."""

    name: str
    default: str
    meaning: str
    used_by: list[str] = field(default_factory=list)


def read_settings() -> dict[str, Setting]:
    """Collect all settings, with who uses each of them."""
    settings: dict[str, Setting] = {}
    for application, cls in APPLICATIONS.items():
        for attribute, info in cls.model_fields.items():
            name, *old_names = environment_names(cls, attribute)
            setting = Setting(name, default_text(info), info.description or "")
            settings.setdefault(name, setting).used_by.append(application)
            for old_name in old_names:
                meaning = f"Old name of `{name}`. It is still read, with a warning."
                settings[old_name] = Setting(old_name, "", meaning, [application])
    for name, (default, meaning) in OTHER_SETTINGS.items():
        settings.setdefault(name, Setting(name, default, meaning))
    for setting in settings.values():
        setting.used_by += _other_users(setting.name)
    return settings


def default_text(info: FieldInfo) -> str:
    """Return the default of a field as it would stand in `.env`."""
    if info.is_required():
        return REQUIRED
    if info.examples:
        # A default that is derived from other settings: the example is its value on a new machine.
        return str(info.examples[0])
    value = info.default
    match value:
        case None:
            return ""
        case bool():
            return str(int(value))
        case float():
            return f"{value:g}"
        case SecretStr():
            return value.get_secret_value()
        case _:
            return str(value)


class _Recorder(dict[str, str]):
    """A mapping that remembers which names were asked for."""

    def __init__(self) -> None:
        required = "MINIO_ROOT_USER MINIO_ROOT_PASSWORD KAFKA_PASSWORD SPARK_AUTH_SECRET"
        super().__init__(dict.fromkeys([*required.split(), "ELASTIC_PASSWORD"], "x"))
        self.names: set[str] = set()

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        self.names.add(name)
        return super().get(name, default)


@cache
def _stack_names() -> set[str]:
    recorder = _Recorder()
    StackSettings.from_env(recorder)
    scrape_interval(recorder)
    return recorder.names


@cache
def _script_words() -> set[str]:
    scripts = [*ROOT.glob("*.sh"), *ROOT.glob("scripts/**/*.sh")]
    return {word for script in scripts for word in re.findall(r"[A-Z_]+", script.read_text())}


def _other_users(name: str) -> Iterator[str]:
    if name in _stack_names():
        yield "native stack"
    if name.startswith("OTEL_"):
        # The OpenTelemetry client of the runs reads it.
        yield from ("ingestion", "processing")
    if name in container_defaults() or name == "COMPOSE_PROFILES":
        yield "Compose"
    if name in _script_words():
        yield "shell scripts"


def container_defaults() -> dict[str, str]:
    """Return the default of each setting in docker-compose.yml; empty if it has none."""
    text = (ROOT / "docker-compose.yml").read_text()
    return dict(re.findall(r"(?<!\$)\$\{(\w+)(?::-([^}]*))?", text))


def example_sections() -> dict[str, list[tuple[str, str]]]:
    """Return the names and values of .env.example, by section."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for line in (ROOT / ".env.example").read_text().splitlines():
        if line.startswith("## "):
            entries = sections.setdefault(line.removeprefix("## "), [])
        elif match := re.fullmatch(r"#?([A-Z_]+)=(\S*)", line):
            entries.append((match[1], match[2]))
    return sections


def render_settings() -> str:
    """Render docs/reference/settings.md."""
    settings, sections = read_settings(), example_sections()
    shown_names = {name for entries in sections.values() for name, _ in entries}
    if difference := settings.keys() ^ shown_names:
        names = ", ".join(sorted(difference))
        raise PipelineError(f"Only one of .env.example and the code has {names}. Correct either.")
    in_containers = container_defaults()
    lines = [
        "# Settings",
        "",
        "<!-- Generated by `make reference` from the settings classes. Do not edit. -->",
        "",
        "Settings come from `.env` and from the environment, which overrides `.env`.",
        "An empty value counts as unset.",
        "`make setup` writes `.env` with free ports and generated secrets.",
        "A command that finds settings missing or malformed names all of them at once.",
    ]
    for section, entries in sections.items():
        lines += ["", f"## {section}", "", "| setting | default | meaning | used by |"]
        lines += ["|---|---|---|---|"]
        for name, _ in entries:
            setting = settings[name]
            shown = f"`{setting.default}`" if setting.default else ""
            if setting.default == REQUIRED:
                shown = REQUIRED
            container = in_containers.get(name, "")
            if container not in ("", setting.default):
                shown += f" (in containers `{container}`)"
            meaning, users = setting.meaning.replace("|", "\\|"), ", ".join(setting.used_by)
            lines.append(f"| `{name}` | {shown} | {meaning} | {users} |")
    return "\n".join(lines) + "\n"
