"""Whatever a file holds: no error but a PipelineError, and every row ends in one place."""

from __future__ import annotations

import os
import random
from collections import Counter
from io import BufferedReader, BytesIO

import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts import COLUMNS, check
from customer_profiles.ingestion.header import check_header
from customer_profiles.ingestion.inputs import StreamInput
from customer_profiles.ingestion.options import Options
from customer_profiles.ingestion.pipeline import ingest
from customer_profiles.ingestion.sources import Source
from customer_profiles.ingestion.validate import validate
from tests.fuzz import make_file, make_lines
from tests.unit.ingestion.memory_broker import MemoryBroker

pytestmark = pytest.mark.no_cover

SEEDS = 8
FILES = int(os.environ.get("FUZZ_FILES", "800")) // SEEDS
"""Files of each seed."""
ROWS = int(os.environ.get("FUZZ_ROWS", "8000")) // SEEDS
"""Rows of each seed."""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_file_is_ingested_whole_or_refused_by_name(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    refusals: list[str] = []
    for _ in range(FILES):
        data = make_file(dice)
        options = Options(
            max_rejected_share=1,
            keep_duplicates=dice.random() < 0.5,
            block_bytes=dice.choice([500, 10_000]),
            strict=dice.random() < 0.2,
        )
        broker = MemoryBroker()
        try:
            csv_input = StreamInput(BufferedReader(BytesIO(data)), options.strict)
            check_header(csv_input, options.strict)
            report = ingest(csv_input, Source("f", None), broker, lambda *_: None, options)
        except PipelineError as error:
            refusals.append(str(error))
            continue
        assert report.adds_up
        assert len(broker.topics.get("raw_events", [])) == report.accepted
        assert len(broker.topics.get("raw_events_dead_letter", [])) == report.dead_lettered
    assert len(refusals) < 0.8 * FILES, Counter(refusals).most_common(3)
    assert all(letter.isprintable() or letter == "\n" for letter in "".join(refusals))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_accepted_keeps_the_contract(seed: int) -> None:
    lines = make_lines(random.Random(seed), ROWS)  # noqa: S311
    block = validate(lines, COLUMNS, "f", 1)
    assert block.read == block.accepted.height + block.rejected.height
    assert block.accepted.height > 0.2 * block.read
    for values in block.accepted.select(COLUMNS).iter_rows(named=True):
        assert check(values) == (values, [])
