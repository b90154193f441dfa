"""The native stack: Kafka, Spark, MinIO and Elasticsearch as processes on loopback."""
