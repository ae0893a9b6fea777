"""Prefixes on disk: found by what a prompt begins with, kept over restarts, evicted in order, safe from the folder."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec
import pytest

from edge_agent.engine.disk_prefixes import DiskMatch, DiskPrefixes, Pin, PrefixRefusedError
from edge_agent.engine.prefix_folder import MAX_FILES
from edge_agent.engine.prefix_writer import Written
from tests.engine.prefix_samples import IDENTITY, head

STATE = bytes(1000)
# A file of three tokens with STATE, unnamed and not pinned.
FILE_BYTES = head([1, 2, 3], STATE).num_bytes


class Store:
    """Disk prefixes in one folder, whose writes a test waits for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._opened: list[DiskPrefixes] = []
        self.written: SimpleQueue[Written] = SimpleQueue()

    def open(self, *, max_bytes: int = 100_000, is_trimmable: bool = True, **changes: Any) -> DiskPrefixes:
        self._opened.append(
            DiskPrefixes(
                self.folder,
                msgspec.structs.replace(IDENTITY, **changes),
                max_bytes=max_bytes,
                is_trimmable=is_trimmable,
                on_written=self.written.put,
                wall_clock=lambda: 1_700_000_000.5,
            )
        )
        return self._opened[-1]

    def settle(self, disk: DiskPrefixes) -> Written:
        written = self.written.get(timeout=30)
        disk.settle(written)
        return written

    def keep(self, disk: DiskPrefixes, tokens: list[int], *, pin: Pin | None = None, state: bytes = STATE) -> str:
        """Store and see it written; returns the id."""
        assert disk.store(tokens, state, pin=pin)
        return self.settle(disk).id

    def files(self) -> list[str]:
        return sorted(file.name for file in self.folder.iterdir())

    def close(self) -> None:
        for disk in self._opened:
            disk.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "prefixes")
    yield store
    store.close()


def ids(disk: DiskPrefixes) -> list[str]:
    """Most recently used first."""
    return [prefix.id for prefix in disk.entries()]


# --- found -------------------------------------------------------------------------------------------------------


def test_the_prefix_with_most_of_the_prompt_is_found_and_read(store: Store) -> None:
    disk = store.open()
    store.keep(disk, [1, 2, 3], state=b"short")
    longer = store.keep(disk, [1, 2, 3, 4, 5], state=b"longer")
    match = disk.match([1, 2, 3, 4, 9, 9])
    assert match == DiskMatch(longer, num_common=4, num_tokens=5)
    assert disk.read(match) == b"longer"


def test_a_prompt_that_begins_otherwise_finds_nothing(store: Store) -> None:
    disk = store.open()
    assert disk.match([1, 2]) is None
    store.keep(disk, [1, 2, 3])
    assert disk.match([2, 2, 3]) is None
    assert disk.match([]) is None


def test_where_cells_cannot_be_cut_only_a_whole_prefix_is_found(store: Store) -> None:
    disk = store.open(is_trimmable=False)
    short = store.keep(disk, [1, 2, 3])
    store.keep(disk, [1, 2, 3, 4, 5])
    assert disk.match([1, 2, 3, 4, 9]) == DiskMatch(short, num_common=3, num_tokens=3)
    assert disk.match([1, 2]) is None


def test_what_is_kept_or_being_written_covers_its_beginnings(store: Store) -> None:
    disk = store.open()
    assert disk.store([1, 2, 3], STATE)
    assert (disk.has([1, 2]), disk.has([1, 2, 3]), disk.has([1, 2, 3, 4]), disk.has([2])) == (True, True, False, False)
    assert disk.match([1, 2, 3]) is None
    store.settle(disk)
    assert disk.has([1, 2])
    assert not disk.store([1, 2, 3], STATE)


def test_a_prefix_is_described_with_its_size_on_disk(store: Store) -> None:
    disk = store.open()
    prefix_id = store.keep(disk, [1, 2, 3], pin=Pin("system"))
    (entry,) = disk.entries()
    assert (entry.id, entry.name, entry.num_tokens, entry.is_pinned) == (prefix_id, "system", 3, True)
    assert entry.created == 1_700_000_000
    assert entry.num_bytes == (store.folder / f"{prefix_id}.kv").stat().st_size


# --- over a restart ----------------------------------------------------------------------------------------------


def test_prefixes_survive_a_restart_with_their_pins_and_their_recency(store: Store) -> None:
    disk = store.open()
    first = store.keep(disk, [1, 1], pin=Pin("first"))
    second, third = store.keep(disk, [2, 2]), store.keep(disk, [3, 3])
    for seconds, prefix_id in enumerate((first, second, third)):
        os.utime(store.folder / f"{prefix_id}.kv", (seconds, seconds))
    match = disk.match([2, 2, 9])
    assert match is not None
    assert disk.read(match) == STATE
    again = store.open()
    assert ids(again) == [second, third, first]
    assert again.find(first) == disk.find(first)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_digest": "other"},
        {"kv_cache_type": "f16"},
        {"flash_attention": False},
        {"llama_cpp_version": "0.3.37"},
    ],
)
def test_what_belongs_to_another_model_or_context_is_removed(store: Store, changes: dict[str, Any]) -> None:
    store.keep(store.open(), [1, 2, 3])
    assert store.open(**changes).match([1, 2, 3]) is None
    assert store.files() == []


def test_a_smaller_bound_evicts_at_the_start(store: Store) -> None:
    disk = store.open()
    pinned = store.keep(disk, [9], pin=Pin())
    store.keep(disk, [1])
    newest = store.keep(disk, [2])
    os.utime(store.folder / f"{newest}.kv", (2**31, 2**31))
    again = store.open(max_bytes=2 * FILE_BYTES)
    assert ids(again) == [newest, pinned]
    assert len(store.files()) == 2


# --- evicted -----------------------------------------------------------------------------------------------------


def test_the_least_recently_used_goes_first(store: Store) -> None:
    disk = store.open(max_bytes=3 * FILE_BYTES)
    oldest, second, third = (store.keep(disk, [number, 0, 0]) for number in (1, 2, 3))
    match = disk.match([1])
    assert match is not None
    assert disk.read(match) == STATE
    newest = store.keep(disk, [4, 0, 0])
    assert ids(disk) == [newest, oldest, third]
    assert store.files() == sorted(f"{prefix_id}.kv" for prefix_id in (newest, oldest, third))
    assert disk.num_bytes == 3 * FILE_BYTES
    assert disk.find(second) is None


def test_pinned_prefixes_stay_and_what_does_not_fit_beside_them_is_not_written(store: Store) -> None:
    disk = store.open(max_bytes=2 * FILE_BYTES + 100)
    pinned = store.keep(disk, [1, 0, 0], pin=Pin())
    store.keep(disk, [2, 0, 0])
    newest = store.keep(disk, [3, 0, 0])
    assert ids(disk) == [newest, pinned]
    assert not disk.store([4, 0, 0], bytes(2000))
    assert ids(disk) == [newest, pinned]


def test_pinning_beyond_the_bound_is_refused_with_the_numbers(store: Store) -> None:
    disk = store.open(max_bytes=2000)
    pinned = store.keep(disk, [1, 0, 0], pin=Pin())
    pinned_bytes = disk.num_bytes
    with pytest.raises(PrefixRefusedError, match=rf"pinned ones have {pinned_bytes} of the 2000 .*DELETE"):
        disk.store([2, 0, 0], STATE, pin=Pin())
    assert ids(disk) == [pinned]


def test_more_than_a_few_unwritten_prefixes_are_not_taken(store: Store) -> None:
    is_blocked, go_on = threading.Event(), threading.Event()

    def on_written(written: Written) -> None:
        is_blocked.set()
        go_on.wait()
        store.written.put(written)

    disk = DiskPrefixes(store.folder, IDENTITY, max_bytes=10**6, is_trimmable=True, on_written=on_written)
    try:
        assert [disk.store([number], STATE) for number in range(4)] == [True, True, True, False]
        assert is_blocked.wait(timeout=30)
        with pytest.raises(PrefixRefusedError, match="busy"):
            disk.store([9], STATE, pin=Pin())
        go_on.set()
        for _ in range(3):
            store.settle(disk)
        assert disk.store([9], STATE, pin=Pin())
        store.settle(disk)
    finally:
        go_on.set()
        disk.close()


# --- pinned and dropped ------------------------------------------------------------------------------------------


def test_a_kept_prefix_can_be_pinned_and_renamed(store: Store) -> None:
    disk = store.open()
    prefix_id = store.keep(disk, [1, 2, 3])
    for name in ("one", "two", None):
        assert disk.pin(prefix_id, Pin(name))
        store.settle(disk)
        (entry,) = store.open().entries()
        assert (entry.id, entry.is_pinned, entry.name) == (prefix_id, True, name)
    match = disk.match([1, 2, 3])
    assert match is not None
    assert disk.read(match) == STATE


def test_a_prefix_may_be_pinned_again_when_the_bound_is_reached(store: Store) -> None:
    disk = store.open(max_bytes=FILE_BYTES + 10)
    prefix_id = store.keep(disk, [1, 2, 3], pin=Pin("a"))
    assert disk.pin(prefix_id, Pin("b"))
    store.settle(disk)
    assert disk.entries()[0].name == "b"


def test_a_dropped_prefix_is_gone_pinned_or_not(store: Store) -> None:
    disk = store.open()
    prefix_id = store.keep(disk, [1, 2, 3], pin=Pin("system"))
    dropped = disk.drop(prefix_id)
    assert dropped is not None
    assert dropped.name == "system"
    assert (disk.drop(prefix_id), disk.match([1, 2, 3]), store.files()) == (None, None, [])
    assert disk.drop("../../etc/passwd") is None


def test_a_prefix_dropped_while_it_is_written_does_not_come_back(store: Store) -> None:
    disk = store.open()
    assert disk.store([1, 2, 3], STATE)
    assert disk.drop(disk.id_of([1, 2, 3])) is not None
    store.settle(disk)
    assert (disk.entries(), store.files(), disk.num_bytes) == ([], [], 0)


# --- hostile folders ---------------------------------------------------------------------------------------------


def test_a_damaged_state_is_removed_when_it_is_read(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    disk = store.open()
    path = store.folder / f"{store.keep(disk, [1, 2, 3])}.kv"
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(data)
    disk = store.open()
    match = disk.match([1, 2, 3])
    assert match is not None
    assert (disk.read(match), disk.match([1, 2, 3]), store.files()) == (None, None, [])
    assert disk.read(match) is None
    assert len([record for record in caplog.records if "checksum" in record.getMessage()]) == 1


def test_a_file_that_has_gone_is_no_longer_found(store: Store) -> None:
    disk = store.open()
    path = store.folder / f"{store.keep(disk, [1, 2, 3])}.kv"
    path.unlink()
    match = disk.match([1, 2, 3])
    assert match is not None
    assert (disk.read(match), disk.entries()) == (None, [])


def test_a_state_that_llama_refuses_is_discarded(store: Store) -> None:
    disk = store.open()
    store.keep(disk, [1, 2, 3])
    match = disk.match([1, 2, 3])
    assert match is not None
    disk.discard(match)
    assert (disk.entries(), store.files()) == ([], [])


def test_whatever_else_lies_in_the_folder_is_removed_or_left_alone(store: Store, tmp_path: Path) -> None:
    disk = store.open()
    good = store.keep(disk, [1, 2, 3])
    precious = tmp_path / "precious.kv"
    precious.write_bytes(b"not ours")
    (store.folder / "prefix-link.kv").symlink_to(precious)
    (store.folder / "prefix-loop.kv").symlink_to(store.folder / "prefix-loop.kv")
    os.mkfifo(store.folder / "prefix-pipe.kv")
    (store.folder / "prefix-folder.kv").mkdir()
    (store.folder / "prefix-empty.kv").touch()
    (store.folder / "prefix-copy.kv").write_bytes((store.folder / f"{good}.kv").read_bytes())
    (store.folder / f"{good}.kv.new").write_bytes(b"half a file")
    (store.folder / "README").write_text("a stranger's note")
    with (store.folder / "prefix-huge.kv").open("wb") as huge:
        huge.truncate(2**40)
    again = store.open()
    assert ids(again) == [good]
    assert store.files() == sorted(["README", "prefix-folder.kv", f"{good}.kv"])
    assert precious.read_bytes() == b"not ours"


def test_no_more_files_are_kept_than_can_be_searched(store: Store) -> None:
    disk = store.open(max_bytes=10**9)
    for number in range(MAX_FILES + 2):
        store.keep(disk, [number], state=b"")
    assert len(disk.entries()) == MAX_FILES
    assert len(store.files()) == MAX_FILES


def test_a_folder_that_cannot_be_made_keeps_nothing_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "prefixes").write_text("a file where the folder should be")
    disk = Store(tmp_path / "prefixes").open()
    assert disk.off_reason == "the folder of prefixes cannot be used: File exists"
    assert (disk.store([1], STATE), disk.match([1]), disk.entries()) == (False, None, [])
    with pytest.raises(PrefixRefusedError, match="File exists"):
        disk.check_pin(1)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_disk_that_fails_keeps_nothing_of_the_prefix(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    disk = store.open()
    (store.folder / f"{disk.id_of([1])}.kv").mkdir()
    assert disk.store([1], STATE)
    assert store.settle(disk).error == "Is a directory"
    assert (disk.entries(), disk.num_bytes, disk.has([1])) == ([], 0, False)
    assert "could not be written" in caplog.text


@pytest.mark.parametrize(
    ("max_bytes", "digest", "reason"), [(0, "abc", "scheduler.max_disk_prefix_bytes"), (1000, "", "digest")]
)
def test_what_is_turned_off_touches_no_disk(store: Store, max_bytes: int, digest: str, reason: str) -> None:
    disk = store.open(max_bytes=max_bytes, model_digest=digest)
    assert disk.off_reason is not None
    assert reason in disk.off_reason
    assert (disk.store([1], STATE), disk.match([1]), disk.has([1]), disk.drop("x")) == (False, None, False, None)
    assert not store.folder.exists()
