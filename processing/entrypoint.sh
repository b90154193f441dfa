#!/bin/sh
# One image, three roles: `spark-master`, `spark-worker`, or a command of the application.
set -eu
address=$(hostname -i | cut -d ' ' -f 1)
case ${1:-} in
  spark-master)
    exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.master.Master \
      --host spark-master --port 7077 --webui-port 8080
    ;;
  spark-worker)
    exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.worker.Worker \
      --host "$address" --webui-port 8081 --work-dir /work/applications \
      --cores "$SPARK_WORKER_CORES" --memory "$SPARK_WORKER_MEMORY" spark://spark-master:7077
    ;;
  *)
    # Executors reach the driver at the address of its container.
    export SPARK_DRIVER_HOST="$address"
    exec python -m customer_profiles.processing "$@"
    ;;
esac
