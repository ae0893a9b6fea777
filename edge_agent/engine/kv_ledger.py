"""Who holds which cells of the unified KV cache: running sequences, and finished ones kept for their next turn.

Pure bookkeeping: it decides, and lists the operations that the step loop then carries out in llama.cpp. A finished
conversation is saved outside the cache where that is cheap, else held in its cells. Either is reused by its own
conversation only: the new prompt must repeat most of it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from collections.abc import Sequence as Tokens
from dataclasses import dataclass

from edge_agent.engine.saved_prefixes import SavedPrefixes
from edge_agent.protocol import KvCells

# A prompt that repeats less than this part of a held prefix is another conversation, whose cells it must not take.
MIN_REPEATED_PART = 0.5


@dataclass(frozen=True, slots=True)
class Trim:
    """Drop a sequence's cells from position `num_kept` on."""

    seq_id: int
    num_kept: int


@dataclass(frozen=True, slots=True)
class Save:
    """Copy a sequence's cells out, to be found under `key`."""

    seq_id: int
    key: int


@dataclass(frozen=True, slots=True)
class Load:
    """Give an empty sequence the cells saved under `key`, which are then forgotten."""

    key: int
    seq_id: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop what was saved under `key`."""

    key: int


Operation = Trim | Save | Load | Forget


@dataclass(frozen=True, slots=True)
class Lease:
    """A sequence id to run with, whose first `num_hit` cells already hold the prompt's first tokens."""

    seq_id: int
    num_hit: int


def common_prefix_length(left: Tokens[int], right: Tokens[int]) -> int:
    """Number of equal tokens at the start of both."""
    limit = min(len(left), len(right))
    if left[:limit] == right[:limit]:
        return limit
    low, high = 0, limit
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low


@dataclass(frozen=True, slots=True)
class PrefixCounts:
    """Tokens looked up, tokens found, cells evicted."""

    num_queried: int
    num_hit: int
    num_evicted: int


@dataclass(frozen=True, slots=True)
class _Match:
    """A kept prefix whose first `num_hit` tokens a prompt repeats."""

    key: int
    num_tokens: int
    num_hit: int


class KvLedger:
    """Counts cells. `num_sequence_ids` bounds running and held sequences together."""

    def __init__(self, *, capacity: int, num_sequence_ids: int, is_trimmable: bool, saved: SavedPrefixes) -> None:
        self.capacity = capacity
        self.num_queried = 0
        self.num_hit = 0
        self.num_evicted = 0
        self._is_trimmable = is_trimmable
        self._free_ids = list(range(num_sequence_ids - 1, -1, -1))
        self._running: dict[int, int] = {}
        # Least recently used first.
        self._held: OrderedDict[int, list[int]] = OrderedDict()
        self._saved = saved
        self._operations: list[Operation] = []

    @property
    def num_used(self) -> int:
        return sum(self._running.values())

    @property
    def num_cached(self) -> int:
        return sum(map(len, self._held.values()))

    @property
    def num_available(self) -> int:
        """Cells that running sequences could still take, held ones evicted."""
        return self.capacity - self.num_used

    @property
    def cells(self) -> KvCells:
        return KvCells(used=self.num_used, cached=self.num_cached, capacity=self.capacity)

    def take_operations(self) -> list[Operation]:
        """What was decided since the last call, to be carried out in this order before the next step."""
        operations, self._operations = self._operations, []
        return operations

    def take_counts(self) -> PrefixCounts:
        """What the prefix cache did since the last call."""
        counts = PrefixCounts(self.num_queried, self.num_hit, self.num_evicted)
        self.num_queried = self.num_hit = self.num_evicted = 0
        return counts

    def lease(self, tokens: list[int]) -> Lease:
        """A sequence id for a prompt, with the longest kept prefix that is its own conversation's.

        Held prefixes give way when no id is free. Raises LookupError when every id is running.
        """
        self.num_queried += len(tokens)
        held, saved = self._best_match(self._held.items(), tokens), self._best_match(self._saved.items(), tokens)
        if held is not None and (saved is None or held.num_hit >= saved.num_hit):
            seq_id, num_kept = held.key, len(self._held.pop(held.key))
            self._running[seq_id] = num_kept
            return self._lease_prefix(seq_id, num_kept, held.num_hit)
        if saved is not None and self._make_room(saved.num_tokens):
            seq_id = self._fresh_id()
            self._saved.remove(saved.key)
            self._operations.append(Load(saved.key, seq_id))
            return self._lease_prefix(seq_id, saved.num_tokens, saved.num_hit)
        return Lease(self._fresh_id(), 0)

    def _lease_prefix(self, seq_id: int, num_kept: int, num_hit: int) -> Lease:
        if num_hit < num_kept:
            self._trim(seq_id, num_hit)
            self.num_evicted += num_kept - num_hit
        self._running[seq_id] = num_hit
        self.num_hit += num_hit
        return Lease(seq_id, num_hit)

    def grow(self, seq_id: int, num_rows: int) -> None:
        """Count `num_rows` more cells for a running sequence, evicting held prefixes to make room.

        Raises LookupError when running sequences alone leave no room.
        """
        if not self._make_room(num_rows):
            raise LookupError(f"{num_rows} cells wanted, {self.num_available} available")
        self._running[seq_id] += num_rows

    def shrink(self, seq_id: int, num_kept: int) -> None:
        """Undo growth: a running sequence keeps its first `num_kept` cells."""
        self._running[seq_id] = num_kept
        self._trim(seq_id, num_kept)

    def hold(self, seq_id: int, tokens: list[int]) -> None:
        """A running sequence is over; what its cells hold, `tokens`, is kept for its next turn."""
        del self._running[seq_id]
        if tokens and not self._saved.fits(len(tokens)):
            self._held[seq_id] = tokens
            return
        if tokens:
            self._operations.append(Save(seq_id, self._saved.add(tokens)))
            for key in self._saved.overflow():
                self.num_evicted += len(self._saved.remove(key))
                self._operations.append(Forget(key))
        self._free(seq_id)

    def release(self, seq_id: int) -> None:
        """A running sequence is over; its cells are freed."""
        del self._running[seq_id]
        self._free(seq_id)

    def evict_all(self) -> int:
        """Free every held prefix; returns the number of cells freed."""
        num_before = self.num_evicted
        while self._held:
            self._evict_oldest()
        return self.num_evicted - num_before

    def _make_room(self, num_cells: int) -> bool:
        """Evict held prefixes until so many cells are free; False when running sequences leave too few."""
        if num_cells > self.num_available:
            return False
        while num_cells > self.capacity - self.num_used - self.num_cached:
            self._evict_oldest()
        return True

    def _best_match(self, prefixes: Iterable[tuple[int, list[int]]], tokens: list[int]) -> _Match | None:
        best = None
        for key, kept in prefixes:
            # At least one token must be computed: its logits give the first token of the answer.
            num_hit = min(common_prefix_length(kept, tokens), len(tokens) - 1)
            if self._may_reuse(num_hit, len(kept)) and (best is None or num_hit > best.num_hit):
                best = _Match(key, len(kept), num_hit)
        return best

    def _may_reuse(self, num_hit: int, num_held: int) -> bool:
        if not self._is_trimmable:
            return num_hit == num_held
        return num_hit > 0 and num_hit >= MIN_REPEATED_PART * num_held

    def _fresh_id(self) -> int:
        if not self._free_ids:
            self._evict_oldest()
        seq_id = self._free_ids.pop()
        self._running[seq_id] = 0
        return seq_id

    def _evict_oldest(self) -> None:
        if not self._held:
            raise LookupError("no held prefix left to evict")
        seq_id, tokens = self._held.popitem(last=False)
        self.num_evicted += len(tokens)
        self._free(seq_id)

    def _free(self, seq_id: int) -> None:
        self._trim(seq_id, 0)
        self._free_ids.append(seq_id)

    def _trim(self, seq_id: int, num_kept: int) -> None:
        self._operations.append(Trim(seq_id, num_kept))
