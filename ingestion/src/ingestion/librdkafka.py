"""Publish through librdkafka, the library inside of confluent-kafka, whole columns at a time.

confluent-kafka builds an object for every message, which costs as much as all else that happens to it.
librdkafka's own `rd_kafka_produce_batch` takes an array of pointers, and those can point straight
into Arrow's memory. So its C interface is used here by ctypes: public, documented in rdkafka.h and
kept stable by its makers.
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

from ingestion.errors import IngestError
from ingestion.publish import COMMIT_S, INIT_S, TRANSACTION_S, fenced, not_accepted, transactional_id

# The structure rd_kafka_message_t, with the padding that a C compiler gives it.
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
_PRODUCER = 0
_ANY_PARTITION = -1
_NO_COPY = 0
_SLICE_MS = 500
"""A call of C cannot be interrupted by Ctrl-C, so none waits for longer."""
_FENCED = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}


@cache
def _library() -> ctypes.CDLL:
    """librdkafka with the types of what is used of it.

    Raises:
        IngestError: this build of confluent-kafka has none of its own and the system has none.
    """
    inside = [file for file in files("confluent-kafka") or () if "librdkafka" in file.name]
    path = str(inside[0].locate()) if inside else ctypes.util.find_library("rdkafka")
    if not path:
        raise IngestError(
            f"librdkafka was found neither in confluent-kafka {confluent_kafka.__version__} nor on the system.\n"
            "Install confluent-kafka as a wheel (`make setup`), or use KAFKA_CLIENT=kafka-python."
        )
    library = ctypes.CDLL(path)
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "conf_new": (pointer, []),
        "conf_set": (number, [pointer, text, text, text, ctypes.c_size_t]),
        "new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "topic_new": (pointer, [pointer, text, pointer]),
        "topic_destroy": (None, [pointer]),
        "produce_batch": (number, [pointer, ctypes.c_int32, number, pointer, number]),
        "init_transactions": (pointer, [pointer, number]),
        "begin_transaction": (pointer, [pointer]),
        "commit_transaction": (pointer, [pointer, number]),
        "abort_transaction": (pointer, [pointer, number]),
        "error_code": (number, [pointer]),
        "error_string": (text, [pointer]),
        "error_is_retriable": (number, [pointer]),
        "error_destroy": (None, [pointer]),
        "err2str": (text, [number]),
        "destroy": (None, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class LibrdkafkaPublisher:
    """Idempotent transactions, partitioned as the Java client does it."""

    def __init__(self, bootstrap_servers: str, source: str) -> None:
        """Take over the source: an earlier producer of it that still lives is fenced.

        Raises:
            IngestError: the broker does not answer.
        """
        self._source = source
        self._rd = _library()
        self._topics: dict[str, Any] = {}
        self._lent: list[Any] = []
        self._producer: Any = self._new(
            {
                "bootstrap.servers": bootstrap_servers,
                "transactional.id": transactional_id(source),
                "transaction.timeout.ms": str(TRANSACTION_S * 1000),
                "partitioner": "murmur2_random",
                "compression.type": "zstd",
                # Level 1 packs these messages as small as the usual level 3 does (a sixth), in less time.
                "compression.level": "1",
                "linger.ms": "5",
                "batch.size": "1000000",
                "queue.buffering.max.messages": "2000000",
                "queue.buffering.max.kbytes": str(512 * 1024),
                "log_level": "0",
            }
        )
        try:
            self._wait(lambda: self._rd.rd_kafka_init_transactions(self._producer, _SLICE_MS), INIT_S)
        except BaseException:
            self.close()
            raise

    def begin(self) -> None:
        self._check(self._rd.rd_kafka_begin_transaction(self._producer))

    def send(self, topic: str, keys: pl.Series, values: pl.Series) -> None:
        if topic not in self._topics:
            self._topics[topic] = self._rd.rd_kafka_topic_new(self._producer, topic.encode(), None)
        messages = np.zeros(len(values), _MESSAGE)
        # librdkafka copies keys, but reads values where they are until the transaction is over.
        key_array, messages["key"], messages["key_size"] = _pointers(keys)
        value_array, messages["payload"], messages["payload_size"] = _pointers(values)
        self._lent.append(value_array)
        queued = self._rd.rd_kafka_produce_batch(
            self._topics[topic], _ANY_PARTITION, _NO_COPY, messages.ctypes.data, len(messages)
        )
        del key_array
        if queued != len(messages):
            code = int(messages["err"][messages["err"] != 0][0])
            self._fail(code, self._rd.rd_kafka_err2str(code).decode())

    def commit(self) -> None:
        self._wait(lambda: self._rd.rd_kafka_commit_transaction(self._producer, _SLICE_MS), COMMIT_S)
        self._lent.clear()

    def abort(self) -> None:
        self._wait(lambda: self._rd.rd_kafka_abort_transaction(self._producer, _SLICE_MS), INIT_S)
        self._lent.clear()

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer:
            for topic in self._topics.values():
                self._rd.rd_kafka_topic_destroy(topic)
            self._rd.rd_kafka_destroy(producer)
        self._lent.clear()

    def _new(self, settings: dict[str, str]) -> Any:
        words = ctypes.create_string_buffer(512)
        configuration = self._rd.rd_kafka_conf_new()
        for name, value in settings.items():
            if self._rd.rd_kafka_conf_set(configuration, name.encode(), value.encode(), words, len(words)) != 0:
                raise IngestError(f"Kafka's client refuses a setting: {words.value.decode()}")
        producer = self._rd.rd_kafka_new(_PRODUCER, configuration, words, len(words))
        if not producer:
            raise IngestError(f"Kafka's client cannot start: {words.value.decode()}")
        return producer

    def _wait(self, action: Callable[[], Any], seconds: float) -> None:
        """Do what may be asked again after it timed out, until it is done or the time is up."""
        deadline = time.monotonic() + seconds
        while (error := action()) is not None:
            timed_out = self._rd.rd_kafka_error_code(error) == KafkaError._TIMED_OUT
            again = timed_out or self._rd.rd_kafka_error_is_retriable(error)
            if not again or time.monotonic() > deadline:
                self._check(error)
            self._rd.rd_kafka_error_destroy(error)

    def _check(self, error: Any) -> None:
        if error is None:
            return
        code, words = self._rd.rd_kafka_error_code(error), self._rd.rd_kafka_error_string(error).decode()
        self._rd.rd_kafka_error_destroy(error)
        self._fail(code, words)

    def _fail(self, code: int, words: str) -> None:
        if code in _FENCED:
            raise fenced(self._source)
        raise not_accepted(words)


def _pointers(texts: pl.Series) -> tuple[Any, Any, Any]:
    """The Arrow array of some texts, where each begins in memory, and how many bytes it has."""
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    address = data.address if data else 0
    return array, ends[:-1].astype(np.uint64) + np.uint64(address), np.diff(ends).astype(np.uint64)
