"""Start Kafka as the official image does: each KAFKA_A_B=c becomes a.b=c in server.properties."""

import os
import subprocess
from pathlib import Path

NOT_SETTINGS = {"KAFKA_HEAP_OPTS", "KAFKA_OPTS"}
config = Path("/opt/kafka/config/server.properties")
settings = {
    # As in the image, _ stands for a dot, __ for an underscore and ___ for a dash.
    name[6:]
    .lower()
    .replace("___", "-")
    .replace("__", "\0")
    .replace("_", ".")
    .replace("\0", "_"): value
    for name, value in os.environ.items()
    if name.startswith("KAFKA_") and name not in NOT_SETTINGS
}
config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
java = ["java", *os.environ.get("KAFKA_HEAP_OPTS", "").split(), "-cp", "/opt/kafka/lib/*"]
if not Path(settings["log.dirs"], "meta.properties").exists():
    tool = ["kafka.tools.StorageTool", "format", "-t", os.environ["CLUSTER_ID"], "-c", str(config)]
    subprocess.run([*java, *tool], check=True)
os.execvp("java", [*java, "kafka.Kafka", str(config)])  # noqa: S606
