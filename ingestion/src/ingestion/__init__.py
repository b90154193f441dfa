"""CSV events into the Kafka topic `raw_events`, every row accounted for."""
