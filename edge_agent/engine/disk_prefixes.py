"""Prefixes kept on disk over restarts: which of them a prompt begins with, which go when space is short.

Owned by the step loop; the files' bytes are written by `prefix_writer`'s thread, whose word comes back by `settle`.
What is worth keeping others decide: `returning_prefixes`, and whoever pins.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_agent.disk_prefix import DiskPrefix
from edge_agent.engine.prefix_file import (
    TOKEN_BYTES,
    BadPrefixFileError,
    PrefixFacts,
    PrefixHead,
    PrefixIdentity,
    pack_tokens,
    read_state,
    unpack_tokens,
)
from edge_agent.engine.prefix_folder import MAX_FILES, MAX_TOTAL_TOKENS, PrefixFolder
from edge_agent.engine.prefix_writer import PrefixWriter, Write, Written

logger = logging.getLogger(__name__)

# One being written and two that wait: each is a copy of its cells, 55 MB for 700 tokens of a 4B model.
MAX_WRITES = 3


class PrefixRefusedError(Exception):
    """A prefix cannot be pinned; the message has the numbers and the remedy."""


@dataclass(frozen=True, slots=True)
class Pin:
    """That a prefix is to stay until it is dropped, and what its owner calls it."""

    name: str | None = None


@dataclass(frozen=True, slots=True)
class DiskMatch:
    """A prefix whose first `num_common` tokens are the prompt's too."""

    id: str
    num_common: int
    num_tokens: int


@dataclass(slots=True)
class _Pending:
    """A write under way. Dropped meanwhile, its file goes as soon as it is there."""

    head: PrefixHead
    is_dropped: bool = False


class DiskPrefixes:
    """At most `max_bytes` of files, of which the least recently used go first; pinned ones never go by themselves.

    With `max_bytes` 0, without a model digest or without a folder it keeps nothing, and `off_reason` says why. Where a
    state cannot be cut (`is_trimmable` False) only a whole prefix matches. `on_written` is called on the writer's
    thread: it is to see to it that the step loop calls `settle`.
    """

    def __init__(
        self,
        folder: Path,
        identity: PrefixIdentity,
        *,
        max_bytes: int,
        is_trimmable: bool,
        on_written: Callable[[Written], None],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.off_reason = _off_reason(identity, max_bytes)
        self._identity = identity
        self._max_bytes = max_bytes
        self._is_trimmable = is_trimmable
        self._wall_clock = wall_clock
        # Least recently used first.
        self._kept: OrderedDict[str, PrefixHead] = OrderedDict()
        self._pending: dict[str, _Pending] = {}
        self._writer: PrefixWriter | None = None
        if self.off_reason is None:
            self._open(folder, on_written)

    def _open(self, folder: Path, on_written: Callable[[Written], None]) -> None:
        try:
            self._folder = PrefixFolder(folder, self._identity)
            self._kept.update((found.id, found.head) for found in self._folder.scan())
        except OSError as error:
            logger.warning("prefixes are not kept on disk folder=%s error=%s", folder, error)
            self.off_reason = f"the folder of prefixes cannot be used: {error.strerror}"
            return
        self._make_room()
        self._writer = PrefixWriter(on_written)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    # --- what there is -------------------------------------------------------------------------------------------

    @property
    def num_bytes(self) -> int:
        """Bytes of all files, those under way included."""
        return sum(head.num_bytes for head in self._heads())

    @property
    def num_pinned_bytes(self) -> int:
        return sum(head.num_bytes for head in self._heads() if head.facts.is_pinned)

    def _heads(self) -> Iterator[PrefixHead]:
        """Heads of what is, or is about to be, on the disk."""
        yield from (pending.head for pending in self._pending.values())
        yield from (head for prefix_id, head in self._kept.items() if prefix_id not in self._pending)

    def entries(self) -> list[DiskPrefix]:
        """All prefixes, most recently used first."""
        return [_facts(prefix_id, head) for prefix_id, head in reversed(self._kept.items())]

    def id_of(self, tokens: list[int]) -> str:
        """The id that exactly these tokens have."""
        return self._folder.id_of(pack_tokens(tokens))

    def find(self, prefix_id: str) -> DiskPrefix | None:
        head = self._kept.get(prefix_id)
        return None if head is None else _facts(prefix_id, head)

    def is_pending(self, prefix_id: str) -> bool:
        """Whether it is being written."""
        return prefix_id in self._pending

    def has(self, tokens: list[int]) -> bool:
        """Whether a prefix that begins with these tokens is kept or being written."""
        wanted = pack_tokens(tokens)
        return any(head.tokens.startswith(wanted) for head in self._heads())

    # --- what a prompt finds -------------------------------------------------------------------------------------

    def match(self, tokens: list[int]) -> DiskMatch | None:
        """The prefix that has most of the prompt's first tokens."""
        if not self._kept:
            return None
        wanted = pack_tokens(tokens)
        best: DiskMatch | None = None
        for prefix_id, head in self._kept.items():
            num_common = _num_common(head.tokens, wanted)
            if num_common < head.num_tokens and not self._is_trimmable:
                continue
            if num_common > (best.num_common if best else 0):
                best = DiskMatch(prefix_id, num_common, head.num_tokens)
        return best

    def tokens_of(self, match: DiskMatch) -> list[int]:
        """All of a kept prefix's tokens."""
        return unpack_tokens(self._kept[match.id].tokens)

    def read(self, match: DiskMatch) -> bytes | None:
        """The state of all the prefix's tokens; None if it is gone or damaged, and then it is no longer kept."""
        head = self._kept.get(match.id)
        if head is None:
            return None
        state = self._read(match.id, head)
        if state is not None:
            self._kept.move_to_end(match.id)
            self._folder.touch(match.id)
        return state

    def discard(self, match: DiskMatch) -> None:
        """Remove a prefix whose state llama.cpp would not take."""
        if self._kept.pop(match.id, None) is not None:
            self._folder.discard(match.id, "llama.cpp does not take its state")

    def _read(self, prefix_id: str, head: PrefixHead) -> bytes | None:
        try:
            return read_state(self._folder.path(prefix_id), head)
        except BadPrefixFileError as error:
            reason = str(error)
        except OSError as error:
            reason = error.strerror or str(error)
        del self._kept[prefix_id]
        self._folder.discard(prefix_id, reason)
        return None

    # --- what is written -----------------------------------------------------------------------------------------

    def check_pin(self, num_bytes: int, *, replaced: str | None = None) -> None:
        """Raise PrefixRefusedError if so many more bytes cannot be pinned; the file `replaced` would go for them."""
        if self.off_reason is not None:
            raise PrefixRefusedError(self.off_reason)
        num_pinned = self.num_pinned_bytes
        old = self._kept.get(replaced or "")
        if old is not None and old.facts.is_pinned:
            num_pinned -= old.num_bytes
        if num_pinned + num_bytes > self._max_bytes:
            raise PrefixRefusedError(
                f"the prefix needs {num_bytes} bytes on disk, pinned ones have {num_pinned} of the {self._max_bytes} "
                "that scheduler.max_disk_prefix_bytes allows: drop one with DELETE /prefixes/{id}, or allow more"
            )

    def store(self, tokens: list[int], state: bytes, *, pin: Pin | None = None) -> bool:
        """Have a prefix written, others evicted for it; False: it is there already, or there is no room for it.

        Raises PrefixRefusedError for what cannot be pinned.
        """
        packed = pack_tokens(tokens)
        if self.off_reason is not None or not tokens:
            return self._decline(pin, self.off_reason or "it has no tokens")
        prefix_id = self._folder.id_of(packed)
        if prefix_id in self._kept or prefix_id in self._pending:
            return False
        facts = PrefixFacts(self._identity, pin is not None, pin.name if pin else None, int(self._wall_clock()))
        return self._write(prefix_id, PrefixHead(facts, packed, len(state)), state)

    def pin(self, prefix_id: str, pin: Pin) -> bool:
        """Have a kept prefix written again as pinned, or under another name; False: its file is gone or damaged.

        Raises PrefixRefusedError where it cannot be pinned.
        """
        old = self._kept[prefix_id]
        state = self._read(prefix_id, old)
        if state is None:
            return False
        facts = PrefixFacts(self._identity, True, pin.name, old.facts.created)
        return self._write(prefix_id, PrefixHead(facts, old.tokens, old.num_state_bytes), state)

    def drop(self, prefix_id: str) -> DiskPrefix | None:
        """Remove a prefix, pinned or not; returns what it was, None if there is none."""
        head = self._kept.pop(prefix_id, None)
        if prefix_id in self._pending:
            self._pending[prefix_id].is_dropped = True
            head = head or self._pending[prefix_id].head
        if head is None:
            return None
        self._folder.remove(prefix_id)
        return _facts(prefix_id, head)

    def settle(self, written: Written) -> None:
        """A write is over."""
        pending = self._pending.pop(written.id)
        if pending.is_dropped:
            self._folder.remove(written.id)
        elif written.error is None:
            self._kept[written.id] = pending.head
            self._kept.move_to_end(written.id)

    def _write(self, prefix_id: str, head: PrefixHead, state: bytes) -> bool:
        pin = Pin(head.facts.name) if head.facts.is_pinned else None
        if pin is not None:
            self.check_pin(head.num_bytes, replaced=prefix_id)
        elif self.num_pinned_bytes + head.num_bytes > self._max_bytes:
            return self._decline(pin, f"{head.num_bytes} bytes are too many beside what is pinned")
        if self._writer is None or len(self._pending) >= MAX_WRITES:
            return self._decline(pin, "the disk is busy with earlier prefixes: send this one again in a moment")
        self._pending[prefix_id] = _Pending(head)
        if not self._make_room():
            del self._pending[prefix_id]
            return self._decline(pin, "as many prefixes are pinned or being written as can be kept: drop one")
        self._writer.offer(Write(prefix_id, self._folder.path(prefix_id), head, state))
        return True

    def _make_room(self) -> bool:
        """Evict until all that is kept and pending is within bounds; False: what is left cannot be evicted."""
        while not self._is_within_bounds():
            evictable = (
                prefix_id
                for prefix_id, head in self._kept.items()
                if not head.facts.is_pinned and prefix_id not in self._pending
            )
            oldest = next(evictable, None)
            if oldest is None:
                return False
            logger.debug("a prefix is evicted from the disk prefix=%s", oldest)
            del self._kept[oldest]
            self._folder.remove(oldest)
        return True

    def _is_within_bounds(self) -> bool:
        heads = list(self._heads())
        num_tokens = sum(head.num_tokens for head in heads)
        return self.num_bytes <= self._max_bytes and len(heads) <= MAX_FILES and num_tokens <= MAX_TOTAL_TOKENS

    @staticmethod
    def _decline(pin: Pin | None, reason: str) -> bool:
        if pin is not None:
            raise PrefixRefusedError(reason)
        logger.debug("a prefix is not written reason=%s", reason)
        return False


def _off_reason(identity: PrefixIdentity, max_bytes: int) -> str | None:
    if max_bytes == 0:
        return "no prefixes are kept on disk: set scheduler.max_disk_prefix_bytes to more than 0"
    if not identity.model_digest:
        return "no prefixes are kept on disk: the model file's digest is not known"
    return None


def _facts(prefix_id: str, head: PrefixHead) -> DiskPrefix:
    return DiskPrefix(
        id=prefix_id,
        name=head.facts.name,
        num_tokens=head.num_tokens,
        num_bytes=head.num_bytes,
        is_pinned=head.facts.is_pinned,
        created=head.facts.created,
    )


def _num_common(left: bytes, right: bytes) -> int:
    """How many tokens two lists of int32 begin with alike."""
    low, high = 0, min(len(left), len(right)) // TOKEN_BYTES
    while low < high:
        middle = (low + high + 1) // 2
        if left[low * TOKEN_BYTES : middle * TOKEN_BYTES] == right[low * TOKEN_BYTES : middle * TOKEN_BYTES]:
            low = middle
        else:
            high = middle - 1
    return low
