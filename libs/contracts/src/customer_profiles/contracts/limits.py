"""The limits of values: how long and how large they may be, so that every store can hold them.

The contract accepts nothing that a later step could not process. `contracts.limits_table` says what
becomes of each kind of value at Kafka, in the lake, in the index and on the page.
"""

from __future__ import annotations

# What the contract accepts.
MAX_LINE_BYTES = 64 * 1024
"""The longest line of a source, without its line end."""
MAX_ID_DIGITS = 20
MAX_PRICE_DIGITS = 12
"""Digits before the decimal point."""
MAX_PRICE_DECIMALS = 4
"""Currencies have at most four decimals (ISO 4217). More are the noise of a binary float."""
MAX_SOURCE_ROW = 10**15 - 1
"""Rows of one source."""
FIRST_YEAR, LAST_YEAR = 1, 9999
"""The years that Python's datetime holds."""

# What a store or a format holds.
MAX_MESSAGE_BYTES = 1_000_000
"""librdkafka sends no larger message, and a broker takes 1 MiB."""
MAX_TOTAL_DIGITS = 38
"""Digits of a decimal of 128 bits, in Parquet and in Polars."""
MAX_KEYWORD_BYTES = 32_766
"""Elasticsearch (Lucene) refuses a document with a longer term."""
MAX_SEARCHED_CHARACTERS = MAX_KEYWORD_BYTES // 4
"""The longest text that searches and aggregations find, in units of UTF-16, as Java counts.

A character takes up to four bytes in UTF-8, and one of four bytes counts twice."""
MAX_DOCUMENT_ID_BYTES = 512
"""Elasticsearch refuses a longer document id."""
MAX_CHART_BUCKETS = 65_536
"""Elasticsearch refuses a response with more buckets (`search.max_buckets`)."""
EXACT_FLOATS = 2**53
"""A binary float of 64 bits holds every whole number below this one exactly.

Columns of floats, fields of type double in Elasticsearch and numbers in JavaScript are such floats.
"""
