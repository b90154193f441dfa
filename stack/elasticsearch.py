"""Elasticsearch, one node, from its published jars and our launcher."""

from __future__ import annotations

import base64
from pathlib import Path

from customer_profiles.common.defaults import ELASTIC_USER, HOST
from stack.jvm import Jvm
from stack.server import Server, http_ok, write_config
from stack.settings import Settings

TRUST_STORE = Path("/etc/ssl/certs/java/cacerts")

COMPILER_FLAGS = {
    "Tier4InvocationThreshold": 10_000,
    "Tier4MinInvocationThreshold": 1_200,
    "Tier4CompileThreshold": 30_000,
    "Tier4BackEdgeThreshold": 80_000,
    "MaxInlineLevel": 9,
    "InlineSmallCode": 1_200,
    "FreqInlineSize": 160,
}
"""Flags of Java's optimising compiler.

The thresholds are twice the default number of calls and loops before it compiles a method. The
inlining limits are about half the default sizes. A freshly started server spends a third of its
work on compiling; these flags take a quarter off that, and the compiled code is as fast.
"""

SETTINGS = """\
cluster.name: customer-profiles
node.name: native
network.host: {host}
http.port: {port}
transport.port: {transport_port}
discovery.type: single-node
path.data: {data}
path.logs: {logs}
action.auto_create_index: "-customer_profiles*,*"
# In bytes: the default percentages refuse writes on a large disk that still has much space.
cluster.routing.allocation.disk.watermark.low: 1gb
cluster.routing.allocation.disk.watermark.high: 500mb
cluster.routing.allocation.disk.watermark.flood_stage: 250mb
# By default, the breaker counts garbage that the serial collector has not yet collected, and
# refuses requests because of it.
indices.breaker.total.use_real_memory: false
"""
LOG4J2 = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


def elasticsearch(settings: Settings, java: Jvm) -> Server:
    """Describe the node on loopback, with the account `elastic` of `AccessPlugin.java`.

    Elastic's own security, Painless and index lifecycle management are not in the jars of the
    server. Only the container has them.
    """
    home = settings.dist / "elasticsearch"
    config = settings.home / "config" / "elasticsearch"
    data = settings.data("elasticsearch")
    logs = settings.home / "logs" / "elasticsearch"
    temporary = settings.data("elasticsearch-tmp")
    address = settings.address("ELASTICSEARCH_PORT")
    node_settings = SETTINGS.format(
        host=HOST,
        port=settings.ports["ELASTICSEARCH_PORT"],
        transport_port=settings.ports["ELASTICSEARCH_TRANSPORT_PORT"],
        data=data,
        logs=logs,
    )

    def prepare() -> None:
        write_config(config / "elasticsearch.yml", node_settings)
        write_config(config / "log4j2.properties", LOG4J2)
        for folder in (data, logs, temporary):
            folder.mkdir(parents=True, exist_ok=True)

    flags = [
        *("--enable-native-access=ALL-UNNAMED", "--add-modules=jdk.net"),
        *("-XX:+UseSerialGC", "-Xms512m", "-Xmx512m", "-XX:-OmitStackTraceInFastThrow"),
        *(f"-Des.path.home={home}", f"-Des.path.conf={config}", "-Des.distribution.type=tar"),
        *("-Dlog4j2.disable.jmx=true", "-Dio.netty.noUnsafe=true"),
        f"-Djava.io.tmpdir={temporary}",
        "-Dorg.elasticsearch.nativeaccess.enableVectorLibrary=false",
        *(f"-XX:{name}={value}" for name, value in COMPILER_FLAGS.items()),
    ]
    if TRUST_STORE.exists():
        flags.append(f"-Djavax.net.ssl.trustStore={TRUST_STORE}")
    login = base64.b64encode(f"{ELASTIC_USER}:{settings.elastic_password}".encode()).decode()
    authorization = {"Authorization": f"Basic {login}"}
    health = f"http://{address}/_cluster/health?wait_for_status=yellow&timeout=1s"
    return Server(
        name="elasticsearch",
        command=[str(java.java), *flags, "-cp", f"{home}/lib/*", "stack.elasticsearch.Launcher"],
        env={"ES_TMPDIR": str(temporary), "STACK_ELASTIC_PASSWORD": settings.elastic_password},
        ports=("ELASTICSEARCH_PORT", "ELASTICSEARCH_TRANSPORT_PORT"),
        ready=lambda: http_ok(health, authorization),
        address=f"http://{address}",
        prepare=prepare,
    )
