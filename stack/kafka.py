"""Kafka in KRaft mode: broker and controller in one process."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stack.errors import StackError
from stack.jvm import Jvm
from stack.server import Server, write_config
from stack.settings import Settings

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers={controller}
listeners=PLAINTEXT://{address},CONTROLLER://{controller}
advertised.listeners=PLAINTEXT://{address},CONTROLLER://{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
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
    properties = PROPERTIES.format(
        address=address, controller=settings.address("KAFKA_CONTROLLER_PORT"), folder=folder
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
                {"bootstrap.servers": address, "log_level": 0, "socket.timeout.ms": 2000}
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
    tool = ["kafka.tools.StorageTool", "format", "--standalone"]
    options = ["-t", cluster_id, "-c", f"{config}/server.properties"]
    done = subprocess.run([*command, *tool, *options], capture_output=True, text=True)
    if done.returncode:
        raise StackError(
            f"Kafka's storage under {folder} could not be formatted:\n{done.stdout}{done.stderr}"
        )


def _random_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
