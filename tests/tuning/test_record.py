from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent.errors import ModelError
from edge_agent.tuning.record import TuningRecord, TuningRecords, make_record
from edge_agent.tuning.search import Search
from tests.tuning.choices import DEFAULT, KEY, changed, speeds


@pytest.fixture
def records(tmp_path: Path) -> TuningRecords:
    return TuningRecords(tmp_path / "tuning")


def finished_record() -> TuningRecord:
    search = Search(DEFAULT, [{"repack": False}], prefer="balanced")
    search.note_speeds(speeds(200.0, 10.0), before=speeds(100.0, 10.0), after=speeds(100.0, 10.0))
    return make_record(KEY, search)


def test_a_record_comes_back_as_it_was_written(records: TuningRecords) -> None:
    record = finished_record()
    path = records.write(record)
    assert records.read(KEY) == record
    assert record.settings == changed(repack=False)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_nothing_is_found_where_nothing_was_written(records: TuningRecords) -> None:
    assert records.read(KEY) is None


@pytest.mark.parametrize(
    "other",
    [
        {"model_sha256": "cd" * 32},
        {"cpu": "Raspberry Pi 4"},
        {"num_cpus": 2},
        {"llama_cpp_version": "0.4.0"},
        {"prefer": "decode"},
    ],
    ids=lambda other: str(next(iter(other))),
)
def test_a_record_holds_for_its_own_key_only(records: TuningRecords, other: dict[str, Any]) -> None:
    records.write(finished_record())
    assert records.read(msgspec.structs.replace(KEY, **other)) is None


def test_a_record_of_another_key_under_this_name_counts_as_absent(records: TuningRecords) -> None:
    other = msgspec.structs.replace(KEY, num_cpus=2)
    written = records.write(msgspec.structs.replace(finished_record(), key=other))
    written.rename(records.path(KEY))
    assert records.read(KEY) is None


def altered(**changes: object) -> bytes:
    """The record's JSON with other values for its settings."""
    plain = json.loads(msgspec.json.encode(finished_record()))
    plain["settings"].update(changes)
    return json.dumps(plain).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe\x00",
        b"[" * 60_000,
        b" " * 70_000 + b"{}",
        altered(kv_cache_type="q2_k"),
        altered(flash_attention=False, kv_cache_type="q8_0"),
        altered(num_threads=0),
        altered(num_threads_batch=10**6),
        altered(micro_batch_tokens=-1),
        altered(micro_batch_tokens=2**70),
        altered(repack="yes"),
    ],
    ids=[
        "empty", "cut", "no object", "no text", "nested", "too large", "no such cache type", "q8_0 alone", "no thread",
        "too many threads", "negative batch", "huge batch", "text for a boolean",
    ],
)  # fmt: skip
def test_a_damaged_file_counts_as_absent_and_is_written_anew(
    records: TuningRecords, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = records.write(finished_record())
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert records.read(KEY) is None
    assert "will be tuned again" in caplog.text
    records.write(finished_record())
    assert records.read(KEY) == finished_record()


def test_a_folder_in_the_files_place_counts_as_absent(records: TuningRecords) -> None:
    records.path(KEY).mkdir(parents=True)
    assert records.read(KEY) is None


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "tuning").write_text("a file")
    with pytest.raises(ModelError, match="cannot be written"):
        TuningRecords(tmp_path / "tuning").write(finished_record())


def test_a_record_beyond_all_measure_is_not_written(records: TuningRecords) -> None:
    with pytest.raises(ModelError, match="not at most 65536"):
        records.write(msgspec.structs.replace(finished_record(), why="x" * 70_000))
    assert records.read(KEY) is None
