"""Elasticsearch, one node, from its published jars and our launcher."""

from __future__ import annotations

from pathlib import Path

from stack.jvm import Jvm
from stack.server import Server, http_ok, write
from stack.settings import Settings

TRUST_STORE = Path("/etc/ssl/certs/java/cacerts")

COMPILE_LATER = {
    "InvocationThreshold": 25_000,
    "MinInvocationThreshold": 3_000,
    "CompileThreshold": 75_000,
    "BackEdgeThreshold": 200_000,
}
"""Five times the defaults of Java's optimising compiler: calls and loops before a method is worth it."""


def elasticsearch(settings: Settings, java: Jvm) -> Server:
    """The node on loopback. What the jars lack (security, Painless, ILM) belongs to Compose."""
    home = settings.dist / "elasticsearch"
    config = settings.home / "config" / "elasticsearch"
    data = settings.data("elasticsearch")
    logs = settings.home / "logs" / "elasticsearch"
    temporary = settings.data("elasticsearch-tmp")
    address = settings.address("ELASTICSEARCH_PORT")
    yml = f"""\
cluster.name: customer-profiles
node.name: native
network.host: 127.0.0.1
http.port: {settings.ports["ELASTICSEARCH_PORT"]}
transport.port: {settings.ports["ELASTICSEARCH_TRANSPORT_PORT"]}
discovery.type: single-node
path.data: {data}
path.logs: {logs}
action.auto_create_index: "-customer_profiles*,*"
# In bytes, because the shares that are the default refuse writes on a large disk with much room left.
cluster.routing.allocation.disk.watermark.low: 1gb
cluster.routing.allocation.disk.watermark.high: 500mb
cluster.routing.allocation.disk.watermark.flood_stage: 250mb
# The default counts garbage that the serial collector has not swept yet, and refuses requests for it.
indices.breaker.total.use_real_memory: false
"""
    logging = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""

    def prepare() -> None:
        write(config / "elasticsearch.yml", yml)
        write(config / "log4j2.properties", logging)
        for folder in (data, logs, temporary):
            folder.mkdir(parents=True, exist_ok=True)

    flags = [
        *("--enable-native-access=ALL-UNNAMED", "--add-modules=jdk.net"),
        *("-XX:+UseSerialGC", "-Xms512m", "-Xmx512m", "-XX:-OmitStackTraceInFastThrow"),
        *(f"-Des.path.home={home}", f"-Des.path.conf={config}", "-Des.distribution.type=tar"),
        *("-Dlog4j2.disable.jmx=true", "-Dio.netty.noUnsafe=true", f"-Djava.io.tmpdir={temporary}"),
        "-Dorg.elasticsearch.nativeaccess.enableVectorLibrary=false",
    ]
    # A server that has just started spends a third of its work on compiling; what runs often is compiled
    # as well as ever, only a little later.
    flags += [f"-XX:Tier4{name}={count}" for name, count in COMPILE_LATER.items()]
    if TRUST_STORE.exists():
        flags.append(f"-Djavax.net.ssl.trustStore={TRUST_STORE}")
    return Server(
        name="elasticsearch",
        command=[str(java.java), *flags, "-cp", f"{home}/lib/*", "stack.elasticsearch.Launcher"],
        env={"ES_TMPDIR": str(temporary)},
        ports=("ELASTICSEARCH_PORT", "ELASTICSEARCH_TRANSPORT_PORT"),
        ready=lambda: http_ok(f"http://{address}/_cluster/health?wait_for_status=yellow&timeout=1s"),
        address=f"http://{address}",
        prepare=prepare,
    )
