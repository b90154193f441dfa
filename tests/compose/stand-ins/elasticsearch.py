"""Start Elasticsearch as the official image does: variables with a dot are settings."""

import os
import subprocess
from pathlib import Path

home = Path("/usr/share/elasticsearch")
settings = {name: value for name, value in os.environ.items() if "." in name}
settings |= {"network.host": "0.0.0.0", "path.data": f"{home}/data", "path.logs": f"{home}/logs"}  # noqa: S104
(home / "config" / "elasticsearch.yml").write_text(
    "".join(f'{name}: "{value}"\n' for name, value in settings.items())
)
(home / "config" / "log4j2.properties").write_text(
    "status = error\nappender.out.type = Console\nappender.out.name = out\n"
    "appender.out.layout.type = PatternLayout\n"
    "appender.out.layout.pattern = %d %p %c{1}: %m%n\nrootLogger.level = warn\n"
    "rootLogger.appenderRef.out.ref = out\n"
)
flags = [
    *("--enable-native-access=ALL-UNNAMED", "--add-modules=jdk.net", "-XX:+UseSerialGC"),
    *os.environ.get("ES_JAVA_OPTS", "").split(),
    *(f"-Des.path.home={home}", f"-Des.path.conf={home}/config", "-Des.distribution.type=docker"),
    *("-Dlog4j2.disable.jmx=true", "-Dio.netty.noUnsafe=true", "-Djava.io.tmpdir=/tmp"),
    "-Dorg.elasticsearch.nativeaccess.enableVectorLibrary=false",
]
classpath = ["java", "-cp", f"{home}/lib/*"]
if not (home / "config" / "elasticsearch.keystore").exists():
    subprocess.run([*classpath, "standin.Secrets", str(home / "config")], check=True)
os.environ["ES_TMPDIR"] = "/tmp"  # noqa: S108
os.execvp("java", ["java", *flags, "-cp", f"{home}/lib/*", "stack.elasticsearch.Launcher"])  # noqa: S606
