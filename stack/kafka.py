"""Kafka in KRaft mode: broker and controller in one process."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from customer_profiles.kafka.config import KafkaConfig
from stack.errors import StackError
from stack.jvm import Jvm
from stack.server import Server, write_config
from stack.settings import Settings

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={controller}
listeners=CLIENT://{address},CONTROLLER://{controller}
advertised.listeners=CLIENT://{address},CONTROLLER://{controller}
listener.security.protocol.map=CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENT
# PLAIN keeps its accounts here and not in the data, so it also works on the data of older versions.
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.client.plain.sasl.jaas.config={login}
listener.name.controller.plain.sasl.jaas.config={login}
log.dirs={folder}
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
"""
LOG4J2 = """\
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c{1}: %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""


def kafka(settings: Settings, java: Jvm) -> Server:
    """Describe the broker on loopback. The first start formats its storage."""
    folder = settings.data("kafka")
    config = settings.home / "config" / "kafka"
    address = settings.address("KAFKA_PORT")
    connection = KafkaConfig(
        address, "SASL_PLAINTEXT", settings.kafka_user, settings.kafka_password
    )
    properties = PROPERTIES.format(
        address=address,
        controller=settings.address("KAFKA_CONTROLLER_PORT"),
        folder=folder,
        login=_login(settings.kafka_user, settings.kafka_password),
    )
    command = [
        *(str(java.java), "-XX:+UseSerialGC", "-Xms128m", "-Xmx512m", "-XX:TieredStopAtLevel=4"),
        f"-Dlog4j2.configurationFile={config}/log4j2.xml",
        *("-cp", f"{settings.dist}/kafka/lib/*"),
    ]

    def prepare() -> None:
        write_config(config / "server.properties", properties)
        write_config(config / "log4j2.xml", LOG4J2)
        if not (folder / "meta.properties").exists():
            _format_storage(command, config, folder)

    def ready() -> bool:
        try:
            client = AdminClient(
                {**connection.client_settings(), "log_level": 0, "socket.timeout.ms": 2000}
            )
            return bool(client.list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    return Server(
        name="kafka",
        command=[*command, "kafka.Kafka", f"{config}/server.properties"],
        ports=("KAFKA_PORT", "KAFKA_CONTROLLER_PORT"),
        ready=ready,
        address=address,
        prepare=prepare,
    )


def _format_storage(command: list[str], config: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # The tool mistakes a cluster id with a leading dash for an option.
    while (cluster_id := _random_id()).startswith("-"):
        pass
    # The tool ends before the optimising compiler would pay off.
    tool = ["-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format", "--standalone"]
    options = ["-t", cluster_id, "-c", f"{config}/server.properties"]
    done = subprocess.run([*command, *tool, *options], capture_output=True, text=True)
    if done.returncode:
        raise StackError(
            f"Kafka's storage under {folder} could not be formatted:\n{done.stdout}{done.stderr}"
        )


def _login(user: str, password: str) -> str:
    """Return the login of a listener: the account it accepts, and with which it calls itself."""
    options = {"username": user, "password": password, f"user_{user}": password}
    text = " ".join(f"{name}={_quoted(value)}" for name, value in options.items())
    login = f"org.apache.kafka.common.security.plain.PlainLoginModule required {text};"
    # A properties file takes a backslash for an escape.
    return login.replace("\\", "\\\\")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _random_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
