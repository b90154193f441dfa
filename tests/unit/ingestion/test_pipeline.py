"""An ingestion from the input to the topics, with a broker in memory."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from io import BufferedReader, BytesIO
from pathlib import Path

import pyarrow as pa
import pytest

from customer_profiles.common.errors import PipelineError
from customer_profiles.ingestion.inputs import CsvInput, FileInput, StreamInput
from customer_profiles.ingestion.options import DEFAULTS, Options
from customer_profiles.ingestion.pipeline import ingest
from customer_profiles.ingestion.report import IngestReport
from customer_profiles.ingestion.sources import Source, identify_source
from tests.support import HEADER, line
from tests.unit.ingestion.memory_broker import Killed, MemoryBroker


def run(path: Path, broker: MemoryBroker, options: Options = DEFAULTS) -> IngestReport:
    return run_input(FileInput(path), broker, options)


def run_input(
    csv_input: CsvInput, broker: MemoryBroker, options: Options = DEFAULTS
) -> IngestReport:
    return ingest(
        csv_input,
        identify_source(csv_input, broker.progress_records()),
        broker,
        lambda *_: None,
        options,
    )


SMALL = Options(block_bytes=700)


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join([HEADER, *lines, ""]))
    return path


ROWS = [line(user_id=str(number % 7), price=f"{number}.00") for number in range(1, 60)]
ROWS += [ROWS[3], ROWS[3], line(user_session=""), line(user_session=""), ROWS[50]]


def test_every_row_ends_in_one_place(tmp_path: Path) -> None:
    broker = MemoryBroker()
    report = run(write(tmp_path / "events.csv", ROWS), broker)
    assert (report.read, report.accepted, report.dead_lettered, report.duplicates) == (64, 59, 2, 3)
    assert report.adds_up
    assert report.reasons == {"user_session_missing": 2}
    assert len(broker.topics["raw_events"]) == 59
    letter = json.loads(broker.topics["raw_events_dead_letter"][0][1])
    assert letter["source"] == "events.csv"
    assert (letter["source_row"], letter["reasons"]) == (62, ["user_session_missing"])
    assert letter["text"] == line(user_session="")


def test_a_message_has_its_customer_as_key(tmp_path: Path) -> None:
    broker = MemoryBroker()
    run(write(tmp_path / "events.csv", ROWS), broker)
    assert all(json.loads(value)["user_id"] == key for key, value in broker.topics["raw_events"])


def test_the_same_file_again_sends_nothing_and_says_since_when_it_is_in(tmp_path: Path) -> None:
    broker = MemoryBroker()
    path = write(tmp_path / "events.csv", ROWS)
    run(path, broker)
    before = {topic: list(messages) for topic, messages in broker.topics.items()}
    again = run(path, broker)
    assert (again.read, again.already_ingested) == (0, 64)
    assert again.already_ingested_at is not None
    assert broker.topics == before


def test_the_same_content_under_another_name_is_the_same_source(tmp_path: Path) -> None:
    broker = MemoryBroker()
    run(write(tmp_path / "events.csv", ROWS), broker)
    assert run(write(tmp_path / "copy.csv", ROWS), broker).read == 0


@pytest.mark.parametrize("commits", [0, 1, 3, 7])
def test_a_killed_run_resumes_without_loss_or_repeat(tmp_path: Path, commits: int) -> None:
    path = write(tmp_path / "events.csv", ROWS)
    undisturbed, killed = MemoryBroker(), MemoryBroker(commits)
    run(path, undisturbed, SMALL)
    with pytest.raises(Killed):
        run(path, killed, SMALL)
    killed.commits_left = 1_000
    # Blocks of another size from here on: what is in counts, not how it was cut.
    report = run(path, killed, Options(block_bytes=500))
    assert report.adds_up
    assert killed.topics["raw_events"] == undisturbed.topics["raw_events"]
    assert killed.topics["raw_events_dead_letter"] == undisturbed.topics["raw_events_dead_letter"]


def test_a_file_that_has_grown_is_continued(tmp_path: Path) -> None:
    broker = MemoryBroker()
    path = write(tmp_path / "events.csv", ROWS[:40])
    run(path, broker)
    report = run(write(path, ROWS), broker)
    assert (report.already_ingested, report.read) == (40, 24)
    assert len(broker.topics["raw_events"]) == 59
    assert [json.loads(value)["source_row"] for _, value in broker.topics["raw_events"]][-1] == 59


def test_a_header_alone_is_the_beginning_of_no_file(tmp_path: Path) -> None:
    broker = MemoryBroker()
    run(write(tmp_path / "nothing.csv", []), broker)
    assert run(write(tmp_path / "events.csv", ROWS), broker).source == "events.csv"
    assert run(write(tmp_path / "nothing.csv", []), broker).source == "nothing.csv"


def test_a_file_whose_ingested_part_has_changed_is_a_new_source(tmp_path: Path) -> None:
    broker = MemoryBroker()
    path = write(tmp_path / "events.csv", ROWS[:40])
    run(path, broker)
    report = run(write(path, [line(user_id="999"), *ROWS[1:]]), broker)
    assert (report.source, report.already_ingested, report.read) == ("events.csv#2", 0, 64)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_endings_byte_order_mark_and_a_missing_last_one_change_nothing(
    tmp_path: Path, ending: str
) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(b"\xef\xbb\xbf" + ending.join([HEADER, *ROWS]).encode())
    broker = MemoryBroker()
    assert run(path, broker).accepted == 59


def test_a_file_without_a_header_is_recognised_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("\n".join(ROWS))
    assert run(path, MemoryBroker()).read == 64


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


@pytest.mark.parametrize(
    ("pack", "name"),
    [(gzip.compress, "events.csv.gz"), (zstd, "events.csv.zst"), (gzip.compress, "events.csv")],
)
def test_a_compressed_file_is_the_same_source_whatever_its_name(
    tmp_path: Path, pack: Callable[[bytes], bytes], name: str
) -> None:
    broker = MemoryBroker()
    plain = write(tmp_path / "plain.csv", ROWS)
    path = tmp_path / name
    path.write_bytes(pack(plain.read_bytes()))
    assert run(path, broker).accepted == 59
    assert run(plain, broker).read == 0


def test_compressed_parts_one_behind_the_other_are_one_file(tmp_path: Path) -> None:
    text = write(tmp_path / "plain.csv", ROWS).read_bytes()
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(text[:1000]) + gzip.compress(text[1000:]))
    assert run(path, MemoryBroker()).read == 64


def test_a_compressed_file_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(write(tmp_path / "plain.csv", ROWS).read_bytes())[:-40])
    with pytest.raises(PipelineError, match=r"cannot be read to its end.*cut short"):
        run(path, MemoryBroker())


def piped(data: bytes) -> StreamInput:
    return StreamInput(BufferedReader(BytesIO(data)))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_standard_input_is_a_source_like_a_file(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    text = write(tmp_path / "events.csv", ROWS).read_bytes()
    broker = MemoryBroker()
    first = run_input(piped(pack(text)), broker)
    assert (first.source, first.read, first.accepted) == ("stdin", 64, 59)
    again = run_input(piped(pack(text)), broker)
    assert (again.read, again.already_ingested) == (0, 64)
    assert run(tmp_path / "events.csv", broker).read == 0


def test_standard_input_that_goes_on_is_continued(tmp_path: Path) -> None:
    text = write(tmp_path / "events.csv", ROWS).read_bytes()
    half = text.index(b"\n", len(text) // 2) + 1
    parts, whole = MemoryBroker(), MemoryBroker()
    run_input(piped(text[:half]), parts, SMALL)
    assert run_input(piped(text), parts, SMALL).already_ingested
    run_input(piped(text), whole, SMALL)
    assert parts.topics["raw_events"] == whole.topics["raw_events"]


def test_a_last_line_without_its_end_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("\n".join([HEADER, *ROWS]))
    broker = MemoryBroker()
    assert run(path, broker).read == 64
    with path.open("a") as file:
        file.write("\n" + line(user_id="77") + "\n")
    report = run(path, broker)
    assert (report.already_ingested, report.read, report.completed_line) == (64, 1, None)


def test_a_last_line_that_was_cut_is_sent_whole_once_the_file_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    text = "\n".join([HEADER, *ROWS[:40], line(user_id="77"), line(user_id="78"), ""])
    cut = text.index(line(user_id="77")) + 30
    path.write_text(text[:cut])
    broker = MemoryBroker()
    first = run(path, broker, Options(max_rejected_share=0.1))
    assert (first.read, first.accepted, first.reasons) == (41, 40, {"wrong_field_count": 1})
    path.write_text(text)
    report = run(path, broker)
    assert (report.read, report.accepted, report.completed_line) == (2, 2, 41)
    sent = [json.loads(value) for _, value in broker.topics["raw_events"]]
    assert [(message["user_id"], message["source_row"]) for message in sent[-2:]] == [
        ("77", 41),
        ("78", 42),
    ]
    assert run(path, broker).read == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        (HEADER.replace("price,", "") + "\n", "lacks the column price"),
        ("a,b\n1,2\n", "lacks the columns"),
    ],
)
def test_what_cannot_be_ingested_is_refused_before_anything_is_sent(
    tmp_path: Path, content: str, words: str
) -> None:
    path = tmp_path / "events.csv"
    path.write_text(content)
    broker = MemoryBroker()
    with pytest.raises(PipelineError, match=words):
        run(path, broker)
    assert not broker.topics


def test_a_missing_file_names_the_next_action(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="make sample"):
        run(tmp_path / "nowhere.csv", MemoryBroker())


WRONG = [line(price="free", user_session="")] * 4


def test_too_many_rejected_rows_stop_the_run_before_anything_is_sent(tmp_path: Path) -> None:
    broker = MemoryBroker()
    with pytest.raises(
        PipelineError, match=r"(?s)4 of the first 63 rows.*more than 5 %.*4  price_invalid"
    ) as failure:
        run(write(tmp_path / "events.csv", ROWS[:59] + WRONG), broker)
    assert "MAX_REJECTED" in str(failure.value)
    assert not broker.topics


def test_blocks_before_the_one_that_is_too_bad_stay_and_a_laxer_run_continues(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "events.csv", ROWS[:59] + WRONG)
    broker = MemoryBroker()
    with pytest.raises(PipelineError, match="more than 5 %"):
        run(path, broker, SMALL)
    assert broker.topics["raw_events"]
    assert run(path, broker, Options(max_rejected_share=0.5)).adds_up
    assert len(broker.topics["raw_events"]) == 59
    assert len(broker.topics["raw_events_dead_letter"]) == 4


def test_duplicates_are_kept_when_asked(tmp_path: Path) -> None:
    report = run(
        write(tmp_path / "events.csv", ROWS), MemoryBroker(), Options(keep_duplicates=True)
    )
    assert (report.read, report.accepted, report.duplicates) == (64, 62, 0)


def test_a_source_is_sent_again_on_purpose(tmp_path: Path) -> None:
    broker = MemoryBroker()
    path = write(tmp_path / "events.csv", ROWS)
    run(path, broker)
    again = ingest(FileInput(path), Source("events.csv", None), broker, lambda *_: None)
    assert (again.read, again.accepted) == (64, 59)
    assert run(path, broker).read == 0
