"""Elasticsearch, one node, from its published jars and our launcher."""

from __future__ import annotations

from pathlib import Path

from stack.jvm import Jvm
from stack.server import Server, http_ok, write
from stack.settings import Settings

TRUST_STORE = Path("/etc/ssl/certs/java/cacerts")

COMPILING = {
    "Tier4InvocationThreshold": 10_000,
    "Tier4MinInvocationThreshold": 1_200,
    "Tier4CompileThreshold": 30_000,
    "Tier4BackEdgeThreshold": 80_000,
    "MaxInlineLevel": 9,
    "InlineSmallCode": 1_200,
    "FreqInlineSize": 160,
}
"""For Java's optimising compiler: twice the default calls and loops before a method is worth it, and
about half the default sizes of methods that are compiled into their callers."""


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
    # A server that has just started spends a third of its work on compiling. Smaller pieces take a quarter
    # less of that, and are as fast once all is compiled.
    flags += [f"-XX:{name}={count}" for name, count in COMPILING.items()]
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
