"""Publish whole columns through librdkafka, the C library inside confluent-kafka.

confluent-kafka builds one object per message, which costs as much as everything else that happens
to the message. librdkafka's `rd_kafka_produce_batch` takes an array of pointers, which can point
straight into Arrow's memory. So this module calls the C interface with ctypes. That interface is
public, documented in rdkafka.h and kept stable by its makers.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import time
from collections.abc import Callable
from functools import cache
from importlib.metadata import files
from typing import Any

import confluent_kafka
import numpy as np
import polars as pl
from confluent_kafka import KafkaError

from customer_profiles.common.errors import PipelineError
from customer_profiles.kafka.config import KafkaConfig
from customer_profiles.kafka.publisher import (
    COMMIT_S,
    INIT_S,
    SLICE_S,
    delivery_error,
    fenced_error,
    librdkafka_settings,
)

_MESSAGE = np.dtype(
    [
        ("err", "i4"),
        ("topic", "u8"),
        ("partition", "i4"),
        ("payload", "u8"),
        ("payload_size", "u8"),
        ("key", "u8"),
        ("key_size", "u8"),
        ("offset", "i8"),
        ("private", "u8"),
    ],
    align=True,
)
"""The C structure rd_kafka_message_t, with the padding that a C compiler adds."""
_POINTER, _TEXT, _NUMBER = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "conf_new": (_POINTER, []),
    "conf_set": (_NUMBER, [_POINTER, _TEXT, _TEXT, _TEXT, ctypes.c_size_t]),
    "new": (_POINTER, [_NUMBER, _POINTER, _TEXT, ctypes.c_size_t]),
    "topic_new": (_POINTER, [_POINTER, _TEXT, _POINTER]),
    "topic_destroy": (None, [_POINTER]),
    "produce_batch": (_NUMBER, [_POINTER, ctypes.c_int32, _NUMBER, _POINTER, _NUMBER]),
    "init_transactions": (_POINTER, [_POINTER, _NUMBER]),
    "begin_transaction": (_POINTER, [_POINTER]),
    "commit_transaction": (_POINTER, [_POINTER, _NUMBER]),
    "abort_transaction": (_POINTER, [_POINTER, _NUMBER]),
    "error_code": (_NUMBER, [_POINTER]),
    "error_string": (_TEXT, [_POINTER]),
    "error_is_retriable": (_NUMBER, [_POINTER]),
    "error_destroy": (None, [_POINTER]),
    "err2str": (_TEXT, [_NUMBER]),
    "destroy": (None, [_POINTER]),
}
"""Result and arguments of each function used here, without the prefix rd_kafka_."""
_PRODUCER = 0
_ANY_PARTITION = -1
_NO_COPY = 0
_SLICE_MS = int(SLICE_S * 1000)
_FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
}


@cache
def _load_library() -> ctypes.CDLL:
    """Load librdkafka and declare the functions used here.

    Raises:
        PipelineError: neither confluent-kafka nor the system has the library.
    """
    bundled = [file for file in files("confluent-kafka") or () if "librdkafka" in file.name]
    path = str(bundled[0].locate()) if bundled else ctypes.util.find_library("rdkafka")
    if not path:
        raise PipelineError(
            "librdkafka was found neither in confluent-kafka "
            f"{confluent_kafka.__version__} nor on the system.\n"
            "Install confluent-kafka as a wheel (`make setup`), "
            "or use KAFKA_CLIENT=confluent-kafka or KAFKA_CLIENT=kafka-python."
        )
    library = ctypes.CDLL(path)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class LibrdkafkaPublisher:
    """Publishes in idempotent transactions, with the Java client's partitioner."""

    def __init__(self, config: KafkaConfig, source: str) -> None:
        """Acquire the source: an earlier producer of it that is still alive is fenced.

        Raises:
            DeliveryError: the broker does not answer.
        """
        self._source = source
        self._library = _load_library()
        self._topics: dict[str, Any] = {}
        self._arrays_in_use: list[Any] = []
        self._producer: Any = self._create_producer(librdkafka_settings(config, source))
        try:
            self._retry(self._library.rd_kafka_init_transactions, INIT_S)
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        """Open a transaction."""
        self._check(self._library.rd_kafka_begin_transaction(self._producer))

    def send(self, topic: str, keys: pl.Series, values: pl.Series) -> None:
        """Add messages to the open transaction. Keys and values are text."""
        if topic not in self._topics:
            self._topics[topic] = self._library.rd_kafka_topic_new(
                self._producer, topic.encode(), None
            )
        messages = np.zeros(len(values), _MESSAGE)
        # librdkafka copies keys, but it reads values in place until the transaction ends.
        key_array, messages["key"], messages["key_size"] = _addresses(keys)
        value_array, messages["payload"], messages["payload_size"] = _addresses(values)
        self._arrays_in_use.append(value_array)
        queued = self._library.rd_kafka_produce_batch(
            self._topics[topic], _ANY_PARTITION, _NO_COPY, messages.ctypes.data, len(messages)
        )
        del key_array
        if queued != len(messages):
            code = int(messages["err"][messages["err"] != 0][0])
            self._fail(code, self._library.rd_kafka_err2str(code).decode())

    def commit(self) -> None:
        """Make everything since `begin` visible."""
        self._retry(self._library.rd_kafka_commit_transaction, COMMIT_S)
        self._arrays_in_use.clear()

    def abort(self) -> None:
        """Drop everything since `begin`."""
        self._retry(self._library.rd_kafka_abort_transaction, INIT_S)
        self._arrays_in_use.clear()

    def close(self) -> None:
        """Release the connection, without waiting for an open transaction."""
        producer, self._producer = self._producer, None
        if producer:
            for topic in self._topics.values():
                self._library.rd_kafka_topic_destroy(topic)
            self._library.rd_kafka_destroy(producer)
        self._arrays_in_use.clear()

    def _create_producer(self, settings: dict[str, str]) -> Any:
        reason = ctypes.create_string_buffer(512)
        configuration = self._library.rd_kafka_conf_new()
        for name, value in settings.items():
            if self._library.rd_kafka_conf_set(
                configuration, name.encode(), value.encode(), reason, len(reason)
            ):
                raise PipelineError(f"Kafka's client refuses a setting: {reason.value.decode()}")
        producer = self._library.rd_kafka_new(_PRODUCER, configuration, reason, len(reason))
        if not producer:
            raise PipelineError(f"Kafka's client cannot start: {reason.value.decode()}")
        return producer

    def _retry(self, function: Callable[[Any, int], Any], seconds: float) -> None:
        """Call a function that may time out until it succeeds or the time is up."""
        deadline = time.monotonic() + seconds
        while (error := function(self._producer, _SLICE_MS)) is not None:
            is_timeout = self._library.rd_kafka_error_code(error) == KafkaError._TIMED_OUT
            may_retry = is_timeout or self._library.rd_kafka_error_is_retriable(error)
            if not may_retry or time.monotonic() > deadline:
                self._check(error)
            self._library.rd_kafka_error_destroy(error)

    def _check(self, error: Any) -> None:
        """Raise the error that a function returned, if it returned one."""
        if error is None:
            return
        code = self._library.rd_kafka_error_code(error)
        reason = self._library.rd_kafka_error_string(error).decode()
        self._library.rd_kafka_error_destroy(error)
        self._fail(code, reason)

    def _fail(self, code: int, reason: str) -> None:
        if code in _FENCED:
            raise fenced_error(self._source)
        raise delivery_error(reason)


def _addresses(texts: pl.Series) -> tuple[Any, Any, Any]:
    """Return the Arrow array of a column, and the address and the number of bytes of each text.

    The addresses are valid as long as the array is alive.
    """
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    address = data.address if data else 0
    return array, ends[:-1].astype(np.uint64) + np.uint64(address), np.diff(ends).astype(np.uint64)
