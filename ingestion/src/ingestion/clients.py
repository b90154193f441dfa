"""The publisher of each client library; only the one that is used is imported."""

from __future__ import annotations

from ingestion.publish import Publisher


def publisher_of(client: str, bootstrap_servers: str, source: str) -> Publisher:
    """Take over a source by a client of `settings.CLIENTS`.

    Raises:
        IngestError: the broker does not answer.
    """
    if client == "kafka-python":
        from ingestion.kafka_python import KafkaPythonPublisher  # noqa: PLC0415

        return KafkaPythonPublisher(bootstrap_servers, source)
    from ingestion.librdkafka import LibrdkafkaPublisher  # noqa: PLC0415

    return LibrdkafkaPublisher(bootstrap_servers, source)
