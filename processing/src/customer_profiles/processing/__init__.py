"""The topic `raw_events` into customer profiles: Parquet on MinIO and an Elasticsearch index."""
