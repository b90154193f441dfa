"""Default values of all settings. Standard library only.

This is the one place that names a default. The settings classes, the native stack and the generated
page `docs/reference/settings.md` read it. A test compares `.env.example`, `docker-compose.yml` and
the shell scripts with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

HOST = "127.0.0.1"
"""Every server listens on loopback only."""

PORTS: Mapping[str, int] = MappingProxyType(
    {
        "KAFKA_PORT": 9092,
        "KAFKA_CONTROLLER_PORT": 9093,
        "SPARK_MASTER_PORT": 7077,
        "SPARK_UI_PORT": 8080,
        "MINIO_PORT": 9000,
        "MINIO_CONSOLE_PORT": 9001,
        "ELASTICSEARCH_PORT": 9200,
        "ELASTICSEARCH_TRANSPORT_PORT": 9300,
        "KIBANA_PORT": 5601,
        "DASHBOARD_PORT": 8050,
        "MONITORING_PORT": 9464,
        "PROMETHEUS_PORT": 9090,
        "ALERTMANAGER_PORT": 9094,
        "GRAFANA_PORT": 3000,
    }
)
"""The default port of every server, by the name of its setting."""

MINIO_USER = "profiles-admin"
"""The user name that `make setup` writes into `.env`. It is no default of the settings classes."""

KAFKA_USER = "profiles"
"""Kafka's only account, natively and in containers."""
KAFKA_SECURITY_PROTOCOLS = ("SASL_PLAINTEXT", "PLAINTEXT")

ELASTIC_USER = "elastic"
"""The account of Elasticsearch that may do anything. Elasticsearch creates it."""

# Ingestion
KAFKA_CLIENTS = ("librdkafka", "confluent-kafka", "kafka-python")
KAFKA_CLIENT = "librdkafka"
BLOCK_MB = 4.0
"""Mebibytes of text in one transaction."""
MAX_BLOCK_MB = 64.0
"""A larger block exceeds the broker's transaction timeout and needs 45 times its size in memory."""
MIN_BLOCK_MB = 0.01
MAX_REJECTED_PERCENT = 5.0

# Processing
BUCKETS = 32
BATCH_EVENTS = 1_000_000
STREAM_INTERVAL_S = 2.0
SPARK_WORKERS = 1
SPARK_WORKER_CORES = 2
SPARK_WORKER_MEMORY = "2g"
SPARK_EXECUTOR_MEMORY = "768m"
SPARK_WORKER_WAIT_S = 60
SEGMENTS = "libs/profiles/src/customer_profiles/profiles/segments.toml"
"""The segment rules, relative to the project. The library finds its own copy of this file."""

# Monitoring
ALERT_REPEAT_S = 14_400.0
ALERT_GROUP_S = 300.0
ALERT_INTERVAL_S = 60.0
MAX_LAG_S = 86_400.0
MAX_STREAM_LAG_S = 120.0
MIN_FREE_GB = 1.0
SCRAPE_INTERVAL = "15s"
ALERTMANAGER_CONFIG = "deploy/monitoring/alertmanager.yml"

QUALITY_CONTRACT = "libs/quality/src/customer_profiles/quality/contract.odcs.yaml"
"""The checks of data quality, relative to the project. The library finds its own copy."""
QUALITY_CALENDAR = "deploy/monitoring/calendar.yml"
"""Special days, relative to the project: none."""

# Experiments
EXPERIMENTS = "experiments"
"""The folder with the files of experiments, relative to the project."""

# In containers
CONTAINER_SPARK_WORKER_MEMORY = "1g"
CONTAINER_SPARK_EXECUTOR_MEMORY = "512m"
CONTAINER_SPARK_MEMORY = "1664m"
"""Memory limit of the container of one Spark worker."""

OPEN_FILES = 1024
"""Open files that a process of the servers and of Spark needs.

Each of Spark's Javas keeps its 300 jars open, and Elasticsearch and Kafka a few files for each part
of their data.
"""

# Folders, relative to the project
STACK_HOME = ".stack"
STACK_DIST = f"{STACK_HOME}/dist"
REPORTS = "reports"
KAFKA_IDENTITY = "data/kafka/meta.properties"
"""The file in STACK_HOME in which the native Kafka keeps the id of its cluster."""

# Logging
LOG_FORMATS = ("text", "json")
LOG_FORMAT = "text"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LOG_LEVEL = "INFO"
