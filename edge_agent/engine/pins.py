"""Requests about prefixes on disk: what becomes of each, until it is answered. Owned by the step loop.

A pin is a sequence without an answer: computed like any prompt, its cells saved, written, and only then answered. Which
steps compute it is the scheduler's business, what stays on the disk that of `disk_prefixes`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from edge_agent.disk_prefix import DiskPrefix
from edge_agent.engine.disk_prefixes import DiskPrefixes, Pin, PrefixRefusedError
from edge_agent.engine.inbox import NewPin, PrefixItem, PrefixWritten
from edge_agent.engine.prefix_writer import Written
from edge_agent.engine.sequence import Sequence
from edge_agent.protocol import DropPrefix, ListPrefixes, Prefixes, RefusalKind, Refused


class Pins:
    """Answers through `send`. `bytes_a_token` is what a token's cells take, to refuse a pin before it is computed."""

    def __init__(self, disk: DiskPrefixes, *, send: Callable[[Prefixes | Refused], None], bytes_a_token: int) -> None:
        self._disk = disk
        self._send = send
        self._bytes_a_token = bytes_a_token
        self._computing: dict[int, NewPin] = {}
        # By the id of the prefix that is being written; the requests whose cells they are, by their own ids.
        self._waiting: dict[str, list[NewPin]] = {}
        self._writers: set[int] = set()

    # --- for the step loop ---------------------------------------------------------------------------------------

    def begin(self, pin: NewPin) -> Sequence | None:
        """The sequence to be computed for a pin; None where nothing has to be, and it is or will be answered."""
        request_id = pin.sequence.id
        if self._disk.off_reason is not None:
            self._send(Refused(request_id, RefusalKind.INVALID, self._disk.off_reason))
            return None
        try:
            if self._settle_from_disk(pin):
                return None
            self._disk.check_pin(len(pin.sequence.tokens) * self._bytes_a_token)
        except PrefixRefusedError as error:
            self._send(Refused(request_id, RefusalKind.STORAGE, str(error)))
            return None
        self._computing[request_id] = pin
        return pin.sequence

    def is_computing(self, request_id: int) -> bool:
        """Whether this is the request of a pin whose cells are not yet computed."""
        return request_id in self._computing

    def computed(self, request_id: int, state: bytes) -> None:
        """All tokens of a pin have their cells, and `state` is a copy of them."""
        pin = self._computing.pop(request_id)
        tokens = pin.sequence.tokens
        try:
            if self._settle_from_disk(pin):
                return
            self._disk.store(tokens, state, pin=Pin(pin.name))
        except PrefixRefusedError as error:
            self._send(Refused(request_id, RefusalKind.STORAGE, str(error)))
            return
        self._writers.add(request_id)
        self._wait(pin)

    def give_up(self, request_id: int, reason: str) -> None:
        """A pin is not computed to its end: its client left, or its step failed."""
        if self._computing.pop(request_id, None) is not None:
            self._send(Refused(request_id, RefusalKind.INVALID, reason))

    def take(self, item: PrefixItem) -> None:
        """Answer what needs no computing; let go on what waited for the disk."""
        match item:
            case ListPrefixes():
                self._send(Prefixes(item.id, self._disk.entries()))
            case DropPrefix():
                dropped = self._disk.drop(item.prefix_id)
                self._send(Prefixes(item.id, [] if dropped is None else [dropped]))
            case PrefixWritten():
                self._written(item.written)
            case _:
                assert_never(item)

    # --- what waits for the disk ---------------------------------------------------------------------------------

    def _settle_from_disk(self, pin: NewPin) -> bool:
        """Answer a pin whose prefix is on disk, or let it wait for the disk; False: it has to be computed.

        Raises PrefixRefusedError.
        """
        prefix_id = self._disk.id_of(pin.sequence.tokens)
        if self._disk.is_pending(prefix_id):
            self._wait(pin)
            return True
        kept = self._disk.find(prefix_id)
        if kept is None:
            return False
        if kept.is_pinned and pin.name in {None, kept.name}:
            self._answer(pin, kept)
            return True
        if not self._disk.pin(prefix_id, Pin(pin.name)):
            return False
        self._wait(pin)
        return True

    def _wait(self, pin: NewPin) -> None:
        self._waiting.setdefault(self._disk.id_of(pin.sequence.tokens), []).append(pin)

    def _written(self, written: Written) -> None:
        self._disk.settle(written)
        for pin in self._waiting.pop(written.id, []):
            if written.error is None:
                self._go_on(pin)
            else:
                self._fail(pin, f"the prefix could not be written: {written.error}")

    def _go_on(self, pin: NewPin) -> None:
        """What a pin waited for is on the disk: as it asked for, unless another request was first."""
        try:
            if not self._settle_from_disk(pin):
                self._fail(pin, "the prefix was dropped while it was being written: pin it again")
        except PrefixRefusedError as error:
            self._fail(pin, str(error))

    def _answer(self, pin: NewPin, kept: DiskPrefix) -> None:
        is_new = pin.sequence.id in self._writers
        self._writers.discard(pin.sequence.id)
        self._send(Prefixes(pin.sequence.id, [kept], is_new=is_new))

    def _fail(self, pin: NewPin, reason: str) -> None:
        self._writers.discard(pin.sequence.id)
        self._send(Refused(pin.sequence.id, RefusalKind.STORAGE, reason))
