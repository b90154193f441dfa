"""Errors of Kafka. Each message names the next action."""

from __future__ import annotations

from customer_profiles.common.errors import PipelineError


class BrokerUnavailableError(PipelineError):
    """No broker answers, or the brokers stopped sending."""


class ProducerFencedError(PipelineError):
    """A newer producer has acquired the same source."""


class DeliveryError(PipelineError):
    """Kafka did not accept messages or a transaction."""


class OffsetOutOfRangeError(PipelineError):
    """The topic no longer has the requested offsets."""
