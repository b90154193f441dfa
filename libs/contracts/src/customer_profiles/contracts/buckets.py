"""Buckets of customers: the unit of parallelism, retry, rebuild and erasure."""

from __future__ import annotations

import zlib


def bucket_of(user_id: str, buckets: int) -> int:
    """Return the bucket of a customer.

    Args:
        user_id: The customer's id as a message has it.
        buckets: How many buckets there are.

    Returns:
        CRC-32 (ISO-HDLC, as zlib computes it) of the id's UTF-8 text, modulo `buckets`.
    """
    return zlib.crc32(user_id.encode()) % buckets
