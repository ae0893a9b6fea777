"""The file of a prefix: whole and unchanged it is read, in any other state it is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.engine.prefix_file import (
    HEADER,
    MAGIC,
    BadPrefixFileError,
    PrefixHead,
    encode_head,
    read_head,
    read_state,
    write_prefix,
)
from tests.engine.prefix_samples import head

TOKENS = [1, 49151, 7]
STATE = b"cells of three tokens"


def written(folder: Path) -> tuple[Path, PrefixHead]:
    path, its_head = folder / "prefix-1.kv", head(TOKENS, STATE, name="system", is_pinned=True)
    write_prefix(path, its_head, STATE)
    return path, its_head


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path, its_head = written(tmp_path)
    assert read_head(path) == its_head
    assert read_state(path, its_head) == STATE
    assert its_head.num_tokens == 3
    assert its_head.num_bytes == path.stat().st_size


def test_a_file_is_its_owners_alone_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["prefix-1.kv"]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    other = head([5], b"other")
    write_prefix(path, other, b"other")
    assert (read_head(path), read_state(path, other)) == (other, b"other")


def test_an_unfinished_file_of_the_past_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "prefix-1.kv.new").write_bytes(b"half")
    path, its_head = written(tmp_path)
    assert read_state(path, its_head) == STATE
    assert [file.name for file in tmp_path.iterdir()] == ["prefix-1.kv"]


def test_writing_does_not_follow_a_link_by_the_unfinished_name(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"kept")
    (tmp_path / "prefix-1.kv.new").symlink_to(precious)
    written(tmp_path)
    assert precious.read_bytes() == b"kept"


def test_a_file_that_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "prefix-1.kv").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_prefix(tmp_path / "prefix-1.kv", head(TOKENS, STATE), STATE)
    assert [file.name for file in tmp_path.iterdir()] == ["prefix-1.kv"]


@given(position=st.integers(min_value=0, max_value=10_000), flip=st.integers(min_value=1, max_value=255))
def test_any_changed_byte_is_noticed(position: int, flip: int) -> None:
    with TemporaryDirectory() as folder:
        path, its_head = written(Path(folder))
        data = bytearray(path.read_bytes())
        data[position % len(data)] ^= flip
        path.write_bytes(data)
        with pytest.raises(BadPrefixFileError):
            read_state(path, its_head)


@given(num_left=st.integers(min_value=0, max_value=10_000))
def test_any_missing_end_is_noticed(num_left: int) -> None:
    with TemporaryDirectory() as folder:
        path, _ = written(Path(folder))
        data = path.read_bytes()
        path.write_bytes(data[: num_left % len(data)])
        with pytest.raises(BadPrefixFileError):
            read_head(path)


@given(garbage=st.binary(max_size=300), more=st.binary(min_size=1, max_size=20))
def test_garbage_and_anything_behind_the_end_are_noticed(garbage: bytes, more: bytes) -> None:
    with TemporaryDirectory() as folder:
        path, _ = written(Path(folder))
        whole = path.read_bytes()
        for data in (garbage, MAGIC + garbage, whole + more):
            path.write_bytes(data)
            with pytest.raises(BadPrefixFileError):
                read_head(path)


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ((b"elephant", 1, 10, 3, 21), "not a prefix file"),
        ((MAGIC, 2, 10, 3, 21), "version 2"),
        ((MAGIC, 1, 2**32 - 1, 3, 21), "not plausible"),
        ((MAGIC, 1, 10, 2**32 - 1, 21), "not plausible"),
        ((MAGIC, 1, 10, 0, 21), "not plausible"),
        ((MAGIC, 1, 10, 3, 2**64 - 1), "size"),
    ],
)
def test_lengths_are_not_believed(tmp_path: Path, numbers: tuple[bytes, int, int, int, int], complaint: str) -> None:
    path = tmp_path / "prefix-1.kv"
    path.write_bytes(HEADER.pack(*numbers) + bytes(200))
    with pytest.raises(BadPrefixFileError, match=complaint):
        read_head(path)


def test_facts_that_are_no_facts_are_refused_though_their_checksum_is_right(tmp_path: Path) -> None:
    path = tmp_path / "prefix-1.kv"
    its_head = head(TOKENS, STATE, name="x" * 200)
    path.write_bytes(encode_head(its_head) + STATE + bytes(32))
    with pytest.raises(BadPrefixFileError, match="facts cannot be read"):
        read_head(path)


def test_another_whole_file_in_its_place_is_noticed(tmp_path: Path) -> None:
    path, its_head = written(tmp_path)
    write_prefix(path, head([9], STATE), STATE)
    with pytest.raises(BadPrefixFileError, match="not the file that it was"):
        read_state(path, its_head)


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "prefix-1.kv")
    with pytest.raises(BadPrefixFileError, match="regular"):
        read_head(tmp_path / "prefix-1.kv")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    path, _ = written(tmp_path)
    link = tmp_path / "prefix-2.kv"
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic"):
        read_head(link)
