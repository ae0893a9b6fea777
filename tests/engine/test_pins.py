"""What becomes of requests about prefixes: pinned once, answered when the disk has them, whoever asked first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from edge_agent.engine.disk_prefixes import DiskPrefixes
from edge_agent.engine.inbox import NewPin, PrefixWritten
from edge_agent.engine.pins import Pins
from edge_agent.engine.prefix_writer import Written
from edge_agent.engine.sequence import Sequence
from edge_agent.protocol import DropPrefix, ListPrefixes, Prefixes, RefusalKind, Refused
from tests.engine.prefix_samples import IDENTITY

STATE = bytes(300)


def pin(request_id: int, tokens: list[int], *, name: str | None = None) -> NewPin:
    return NewPin(Sequence(request_id, tokens, max_tokens=0, arrived=1.0, queued=2.0), name)


class Desk:
    """Pins over a real folder; a test does the step loop's part."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._written: SimpleQueue[Written] = SimpleQueue()
        self.folder = folder
        self.said: list[Prefixes | Refused] = []
        self.disk = DiskPrefixes(folder, IDENTITY, max_bytes=max_bytes, is_trimmable=True, on_written=self._written.put)
        self.pins = Pins(self.disk, send=self.said.append, bytes_a_token=100)

    def settle(self) -> None:
        self.pins.take(PrefixWritten(self._written.get(timeout=30)))

    def keep(self, new: NewPin) -> Prefixes:
        """Pin to the end."""
        assert self.pins.begin(new) is new.sequence
        self.pins.computed(new.sequence.id, STATE)
        self.settle()
        return self.pinned()

    def pinned(self) -> Prefixes:
        answer = self.said.pop(0)
        assert isinstance(answer, Prefixes), answer
        return answer

    def refused(self) -> Refused:
        answer = self.said.pop(0)
        assert isinstance(answer, Refused), answer
        return answer


@pytest.fixture
def desk_for(tmp_path: Path) -> Iterator[Callable[[int], Desk]]:
    desks: list[Desk] = []

    def make(max_bytes: int) -> Desk:
        desks.append(Desk(tmp_path / "prefixes", max_bytes))
        return desks[-1]

    yield make
    for desk in desks:
        desk.disk.close()


@pytest.fixture
def desk(desk_for: Callable[[int], Desk]) -> Desk:
    return desk_for(100_000)


def test_a_pin_is_answered_when_it_is_on_the_disk(desk: Desk) -> None:
    new = pin(7, [1, 2, 3], name="system")
    assert desk.pins.begin(new) is new.sequence
    assert desk.pins.is_computing(7)
    desk.pins.computed(7, STATE)
    assert not desk.pins.is_computing(7)
    assert desk.said == []
    desk.settle()
    answer = desk.pinned()
    assert (answer.id, answer.is_new) == (7, True)
    assert [(prefix.name, prefix.num_tokens, prefix.is_pinned) for prefix in answer.prefixes] == [("system", 3, True)]
    assert (desk.folder / f"{answer.prefixes[0].id}.kv").exists()


def test_the_same_pin_again_is_answered_at_once_with_the_same_id(desk: Desk) -> None:
    first = desk.keep(pin(1, [1, 2, 3], name="system"))
    for name in ("system", None):
        assert desk.pins.begin(pin(2, [1, 2, 3], name=name)) is None
        assert desk.pinned() == Prefixes(2, first.prefixes, is_new=False)


def test_another_name_renames_it(desk: Desk) -> None:
    first = desk.keep(pin(1, [1, 2, 3], name="old")).prefixes[0]
    assert desk.pins.begin(pin(2, [1, 2, 3], name="new")) is None
    desk.settle()
    answer = desk.pinned()
    assert (answer.prefixes[0].id, answer.prefixes[0].name, answer.is_new) == (first.id, "new", False)


def test_a_prefix_that_was_kept_by_itself_is_pinned_without_computing_it(desk: Desk) -> None:
    assert desk.disk.store([1, 2, 3], STATE)
    assert desk.pins.begin(pin(1, [1, 2, 3])) is None
    desk.settle()
    assert desk.said == []
    desk.settle()
    answer = desk.pinned()
    assert (answer.is_new, answer.prefixes[0].is_pinned) == (False, True)


def test_two_who_pin_the_same_at_once_are_both_answered_and_one_was_first(desk: Desk) -> None:
    first, second = pin(1, [1, 2, 3]), pin(2, [1, 2, 3])
    assert desk.pins.begin(first) is first.sequence
    assert desk.pins.begin(second) is second.sequence
    desk.pins.computed(2, STATE)
    desk.pins.computed(1, STATE)
    desk.settle()
    answers = [desk.pinned(), desk.pinned()]
    assert [(answer.id, answer.is_new) for answer in answers] == [(2, True), (1, False)]
    assert answers[0].prefixes == answers[1].prefixes


def test_a_damaged_file_is_computed_again(desk: Desk) -> None:
    prefix_id = desk.disk.id_of([1, 2, 3])
    assert desk.disk.store([1, 2, 3], STATE)
    desk.settle()
    (desk.folder / f"{prefix_id}.kv").write_bytes(b"damaged")
    assert desk.keep(pin(1, [1, 2, 3])).is_new


def test_a_pin_that_cannot_fit_is_refused_before_it_is_computed(desk_for: Callable[[int], Desk]) -> None:
    desk = desk_for(5000)
    assert desk.pins.begin(pin(1, list(range(51)))) is None
    refused = desk.refused()
    assert (refused.id, refused.kind) == (1, RefusalKind.STORAGE)
    assert "needs 5100 bytes on disk, pinned ones have 0 of the 5000" in refused.message


def test_a_pin_that_turns_out_too_large_is_refused(desk_for: Callable[[int], Desk]) -> None:
    desk = desk_for(5000)
    assert desk.pins.begin(pin(1, [1, 2, 3])) is not None
    desk.pins.computed(1, bytes(5000))
    assert desk.refused().kind is RefusalKind.STORAGE
    assert desk.disk.entries() == []


def test_a_disk_that_fails_is_told_to_all_who_wait(desk: Desk) -> None:
    (desk.folder / f"{desk.disk.id_of([1])}.kv").mkdir()
    for request_id in (1, 2):
        assert desk.pins.begin(pin(request_id, [1])) is not None
    for request_id in (1, 2):
        desk.pins.computed(request_id, STATE)
    desk.settle()
    for request_id in (1, 2):
        refused = desk.refused()
        assert (refused.id, refused.kind) == (request_id, RefusalKind.STORAGE)
        assert refused.message == "the prefix could not be written: Is a directory"


def test_without_a_disk_a_pin_is_refused_with_the_setting_to_change(desk_for: Callable[[int], Desk]) -> None:
    desk = desk_for(0)
    assert desk.pins.begin(pin(1, [1])) is None
    refused = desk.refused()
    assert refused.kind is RefusalKind.INVALID
    assert "scheduler.max_disk_prefix_bytes" in refused.message
    desk.pins.take(ListPrefixes(2))
    desk.pins.take(DropPrefix(3, "prefix-1"))
    assert desk.said == [Prefixes(2, []), Prefixes(3, [])]


def test_a_pin_that_is_given_up_is_refused_once(desk: Desk) -> None:
    assert desk.pins.begin(pin(1, [1])) is not None
    for _ in range(2):
        desk.pins.give_up(1, "the client left")
    assert desk.said == [Refused(1, RefusalKind.INVALID, "the client left")]
    assert not desk.pins.is_computing(1)


def test_a_prefix_dropped_before_its_pin_is_answered_is_said_to_be_gone(desk: Desk) -> None:
    assert desk.pins.begin(pin(1, [1])) is not None
    desk.pins.computed(1, STATE)
    desk.pins.take(DropPrefix(2, desk.disk.id_of([1])))
    assert len(desk.pinned().prefixes) == 1
    desk.settle()
    assert "dropped while it was being written" in desk.refused().message
    assert list(desk.folder.iterdir()) == []


def test_prefixes_are_listed_and_dropped(desk: Desk) -> None:
    first, second = (desk.keep(pin(number, [number])).prefixes[0] for number in (1, 2))
    desk.pins.take(ListPrefixes(3))
    desk.pins.take(DropPrefix(4, first.id))
    desk.pins.take(DropPrefix(5, first.id))
    desk.pins.take(ListPrefixes(6))
    assert desk.said == [
        Prefixes(3, [second, first]),
        Prefixes(4, [first]),
        Prefixes(5, []),
        Prefixes(6, [second]),
    ]
