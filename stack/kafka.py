"""Kafka in KRaft mode: broker and controller in one process."""

from __future__ import annotations

import base64
import subprocess
import uuid

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stack.errors import StackError
from stack.jvm import Jvm
from stack.server import Server, write
from stack.settings import Settings


def kafka(settings: Settings, java: Jvm) -> Server:
    """The broker on loopback; its data are formatted on the first start."""
    folder = settings.data("kafka")
    config = settings.home / "config" / "kafka"
    address = settings.address("KAFKA_PORT")
    controller = settings.address("KAFKA_CONTROLLER_PORT")
    properties = f"""\
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
    logging = """\
<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c{1}: %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""
    command = [str(java.java), "-XX:+UseSerialGC", "-Xms128m", "-Xmx512m", "-XX:TieredStopAtLevel=4"]
    command += [f"-Dlog4j2.configurationFile={config}/log4j2.xml", "-cp", f"{settings.dist}/kafka/lib/*"]

    def prepare() -> None:
        write(config / "server.properties", properties)
        write(config / "log4j2.xml", logging)
        if (folder / "meta.properties").exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        # The tool takes a name with a dash in front for an option.
        while (cluster := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
            pass
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", f"{config}/server.properties", "--standalone"]
        done = subprocess.run([*command, *tool], capture_output=True, text=True)
        if done.returncode:
            raise StackError(f"Kafka's storage under {folder} could not be formatted:\n{done.stdout}{done.stderr}")

    def ready() -> bool:
        try:
            client = AdminClient({"bootstrap.servers": address, "log_level": 0, "socket.timeout.ms": 2000})
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
