#!/bin/sh
# One image, three roles: `spark-master`, `spark-worker`, or a command of the application.
set -eu

# Prints the address of this container that Spark's master reaches, on the network that they share.
spark_address() {
  python - <<'PYTHON' 2>/dev/null || hostname -i | cut -d ' ' -f 1
import socket
with socket.socket(type=socket.SOCK_DGRAM) as probe:
    probe.connect(("spark-master", 7077))  # sends nothing: it only looks up the route
    print(probe.getsockname()[0])
PYTHON
}

case ${1:-} in
  spark-master)
    exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.master.Master \
      --host "${SPARK_MASTER_HOST:-spark-master}" --port 7077 --webui-port 8080
    ;;
  spark-worker)
    exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.worker.Worker \
      --host "$(spark_address)" --webui-port 8081 --work-dir /work/applications \
      --cores "$SPARK_WORKER_CORES" --memory "$SPARK_WORKER_MEMORY" spark://spark-master:7077
    ;;
  *)
    # Executors reach the driver at the address of its container.
    case $1 in process | rebuild | stream) SPARK_DRIVER_HOST=$(spark_address) && export SPARK_DRIVER_HOST ;; esac
    exec python -m customer_profiles.processing "$@"
    ;;
esac
