"""Who holds which cells of the unified KV cache: running sequences, finished ones, and what is saved outside it.

Pure bookkeeping over the prefix tree: it decides, and lists the operations that the step loop then carries out in
llama.cpp. A cell that several sequences share is counted once. A finished conversation is saved outside the cache where
that is cheap, since every cell in use makes each step's attention longer, else it stays in its cells until they are
wanted.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.engine.kv_operations import Copy, Load, Operation, Trim
from edge_agent.engine.prefix_tree import Holder, Match, Node, PrefixTree
from edge_agent.engine.saved_runs import SavedRuns, saved_key
from edge_agent.protocol import KvCells

# A prompt waits for one that is being computed if it saves more rows than a step's smallest efficient size.
MIN_AWAITED = 16


@dataclass(frozen=True, slots=True)
class Lease:
    """A sequence id to run with, whose first `num_hit` cells already hold the prompt's first tokens.

    `num_from_disk` of them were read from the disk; the first `num_shared` are another conversation's too.
    """

    seq_id: int
    num_hit: int = 0
    num_from_disk: int = 0
    num_shared: int = 0


@dataclass(frozen=True, slots=True)
class PrefixCounts:
    """Tokens looked up, tokens found, cells evicted."""

    num_queried: int
    num_hit: int
    num_evicted: int


class KvLedger:
    """Counts cells. `num_sequence_ids`, at least twice what runs at once, bounds running and held sequences together.

    `max_saved_tokens` bounds what is saved outside the cache. Where a state cannot be cut at any position
    (`is_trimmable` False) a finished sequence is taken up again as a whole, and nothing is shared.
    """

    def __init__(self, *, capacity: int, num_sequence_ids: int, is_trimmable: bool, max_saved_tokens: int) -> None:
        self.capacity = capacity
        self.num_queried = 0
        self.num_hit = 0
        self.num_evicted = 0
        self.num_used = 0
        self.num_cached = 0
        self.tree = PrefixTree()
        self._is_trimmable = is_trimmable
        self._saved = SavedRuns(self.tree, max_tokens=max_saved_tokens)
        self._free_ids = list(range(num_sequence_ids - 1, -1, -1))
        self._holders: dict[int, Holder] = {}
        self._operations: list[Operation] = []
        self._tick = 0

    @property
    def num_available(self) -> int:
        """Cells that running sequences could still take, held ones evicted."""
        return self.capacity - self.num_used

    @property
    def num_free(self) -> int:
        """Cells that hold nothing."""
        return self.capacity - self.num_used - self.num_cached

    @property
    def cells(self) -> KvCells:
        return KvCells(used=self.num_used, cached=self.num_cached, capacity=self.capacity)

    def take_operations(self) -> list[Operation]:
        """What was decided since the last call, to be carried out in this order before the next step."""
        operations, self._operations = self._operations, []
        return operations

    def take_counts(self) -> PrefixCounts:
        """What the prefix cache did since the last call."""
        counts = PrefixCounts(self.num_queried, self.num_hit, self.num_evicted + self._saved.num_evicted)
        self.num_queried = self.num_hit = self.num_evicted = self._saved.num_evicted = 0
        return counts

    # --- what a prompt finds -------------------------------------------------------------------------------------

    def is_coming(self, tokens: list[int]) -> bool:
        """Whether a running sequence is about to compute a longer prefix of this prompt than is held now."""
        if not self._is_trimmable:
            return False
        match = self.tree.match(tokens[:-1])
        return match.num_coming - match.num_held >= MIN_AWAITED

    def num_running_shared(self, tokens: list[int]) -> int:
        """Cells of running sequences that this prompt would share: they need not be found for it again."""
        if not self._is_trimmable:
            return 0
        match = self.tree.match(tokens[:-1])
        if match.holder is not None and match.holder.is_running:
            return match.num_held
        if match.child is not None and match.child.num_running:
            return match.num_held
        return max((node.end for node in self.tree.path(match.node) if node.num_running), default=0)

    def num_held(self, tokens: list[int]) -> int:
        """How many of the prompt's first tokens a lease would find now."""
        return self.tree.match(tokens[:-1]).num_held if self._is_trimmable else 0

    def lease(self, tokens: list[int]) -> Lease:
        """A sequence id for a prompt, with the longest held prefix. The list must be the sequence's own.

        Held sequences give way when no id is free. Raises LookupError when every id is running.
        """
        self.num_queried += len(tokens)
        # At least one token must be computed: its logits give the first token of the answer.
        match = self.tree.match(tokens[:-1]) if self._is_trimmable else self._whole_match(tokens)
        lease = self._take_up(match, tokens) or self._share(match, tokens)
        self.num_hit += lease.num_hit
        return lease

    def _whole_match(self, tokens: list[int]) -> Match:
        """The longest finished sequence that the prompt repeats from its first token to its last."""
        fitting = [
            holder
            for holder in self._holders.values()
            if not holder.is_running
            and holder.num_computed < len(tokens)
            and holder.tokens == tokens[: holder.num_computed]
        ]
        best = max(fitting, key=lambda holder: holder.num_computed, default=None)
        return Match(self.tree.root, 0 if best is None else best.num_computed, holder=best)

    def _take_up(self, match: Match, tokens: list[int]) -> Lease | None:
        """Go on with a finished sequence of which all, or all but the last token, is repeated."""
        holder = _idle_holder(match)
        if holder is None:
            return None
        if match.num_held < holder.num_computed:
            self._resize_tail(holder, match.num_held)
            self._operations.append(Trim(holder.seq_id, match.num_held))
        self._set_running(holder, is_running=True)
        holder.tokens = tokens
        self._touch(holder)
        return Lease(holder.seq_id, match.num_held, num_shared=self._num_shared(holder))

    def _share(self, match: Match, tokens: list[int]) -> Lease:
        """Begin with a copy of what others hold in the cache, and with what is saved beyond it."""
        source, num_resident = _source(match, self.tree)
        to_load = [node for node in self.tree.path(match.node) if node.start >= num_resident]
        if match.child is not None and match.child.start >= num_resident:
            to_load.append(match.child)
        if not self._make_room(sum(len(node.tokens) for node in to_load), keep=source):
            to_load = []
        num_hit = match.num_held if to_load else num_resident
        loaded_end = to_load[-1].end if to_load else num_hit
        seq_id = self._fresh_id(keep=source)
        if source is not None:
            self._operations.append(Copy(source.seq_id, seq_id, num_resident))
        num_from_disk = self._load(to_load, seq_id, num_hit)
        node = self._node_ending_at(match, num_hit, seq_id if to_load or source is None else source.seq_id)
        if loaded_end > num_hit:
            self._operations.append(Trim(seq_id, num_hit))
        holder = self._add_holder(seq_id, tokens, node)
        self._touch(holder)
        return Lease(seq_id, num_hit, num_from_disk, self._num_shared(holder))

    def _load(self, nodes: list[Node], seq_id: int, num_hit: int) -> int:
        """Load saved runs into a sequence; returns how many of the tokens that count came from the disk."""
        num_from_disk = 0
        for node in nodes:
            self._operations.append(Load(saved_key(node), seq_id))
            if node.is_from_disk:
                num_from_disk += min(node.end, num_hit) - node.start
                node.is_from_disk = False
        return num_from_disk

    def _node_ending_at(self, match: Match, end: int, source_id: int) -> Node:
        """The node on the match's way that ends at `end`, cut out if need be; `source_id` holds all that is cut."""
        if match.holder is not None:
            return self.tree.split_tail(match.holder, end)
        if match.child is not None and end > match.node.end:
            upper, operations = self._saved.split(match.child, end, source_id)
            self._operations += operations
            return upper
        return next((node for node in self.tree.path(match.node) if node.end == end), self.tree.root)

    def _num_shared(self, holder: Holder) -> int:
        shared = [node.end for node in self.tree.path(holder.node) if node.is_shared]
        return max(shared, default=0)

    # --- what running sequences do -------------------------------------------------------------------------------

    def grow(self, seq_id: int, num_rows: int) -> None:
        """Count `num_rows` more cells for a running sequence, evicting held ones to make room.

        Raises LookupError when running sequences alone leave no room.
        """
        if not self._make_room(num_rows):
            raise LookupError(f"{num_rows} cells wanted, {self.num_available} available")
        holder = self._holders[seq_id]
        self._resize_tail(holder, holder.num_computed + num_rows)

    def shrink(self, seq_id: int, num_kept: int) -> None:
        """Undo growth: a running sequence keeps its first `num_kept` cells."""
        self._resize_tail(self._holders[seq_id], num_kept)
        self._operations.append(Trim(seq_id, num_kept))

    def hold(self, seq_id: int, tokens: list[int]) -> None:
        """A running sequence is over; what its cells hold, `tokens`, is kept for whoever begins the same way."""
        holder = self._holders[seq_id]
        holder.tokens = tokens
        if not tokens or self._is_held_elsewhere(holder):
            self.release(seq_id)
        elif self._is_trimmable and self._saved.fits(len(tokens)):
            last = self.tree.split_tail(holder, holder.num_computed)
            self._touch(holder)
            self._operations += self._saved.save(self.tree.path(last), seq_id)
            self.release(seq_id)
        else:
            self._set_running(holder, is_running=False)
            self._touch(holder)

    def release(self, seq_id: int) -> None:
        """A sequence is over; cells that nobody shares are freed."""
        holder = self._holders.pop(seq_id)
        for node in self.tree.path(holder.node):
            self._count(node, -1)
            node.holders.remove(holder)
            node.num_running -= holder.is_running
            self._count(node, 1)
        self._resize_tail(holder, holder.node.end)
        holder.node.tails.remove(holder)
        self.tree.prune(holder.node)
        self._operations.append(Trim(seq_id, 0))
        self._free_ids.append(seq_id)

    def restore(self, tokens: list[int]) -> int:
        """A prefix read from the disk counts as saved; returns its key. It stays at least until the next is saved."""
        node = self.tree.add(tokens, self.tree.root)
        self._tick += 1
        node.last_used = self._tick
        self._operations += self._saved.restore(node)
        return saved_key(node)

    def _is_held_elsewhere(self, holder: Holder) -> bool:
        if not self._is_trimmable:
            return False
        path = self.tree.path(holder.node)
        if any(node.key is None and len(node.holders) == 1 for node in path):
            return False
        return self.tree.match(holder.tokens, ignore=holder).num_held == len(holder.tokens)

    def evict_all(self) -> int:
        """Free every held sequence; returns the number of cells freed."""
        num_before = self.num_free
        while self._evict_oldest():
            pass
        return self.num_free - num_before

    # --- ids and cells -------------------------------------------------------------------------------------------

    def _make_room(self, num_cells: int, *, keep: Holder | None = None) -> bool:
        """Evict held sequences until so many cells are free; False when too few can be freed."""
        if num_cells > self.num_available:
            return False
        while num_cells > self.num_free:
            if not self._evict_oldest(keep=keep):
                return False
        return True

    def _fresh_id(self, *, keep: Holder | None) -> int:
        if not self._free_ids and not self._evict_oldest(keep=keep):
            raise LookupError("every sequence id is running")
        return self._free_ids.pop()

    def _evict_oldest(self, *, keep: Holder | None = None) -> bool:
        held = [holder for holder in self._holders.values() if not holder.is_running and holder is not keep]
        if not held:
            return False
        num_before = self.num_free
        self.release(min(held, key=lambda holder: holder.last_used).seq_id)
        self.num_evicted += self.num_free - num_before
        return True

    def _add_holder(self, seq_id: int, tokens: list[int], node: Node) -> Holder:
        holder = self._holders[seq_id] = Holder(seq_id, tokens, node, num_computed=node.end)
        node.tails.append(holder)
        for above in self.tree.path(node):
            self._count(above, -1)
            above.holders.add(holder)
            above.num_running += 1
            self._count(above, 1)
        return holder

    def _set_running(self, holder: Holder, *, is_running: bool) -> None:
        num_computed = holder.num_computed
        self._resize_tail(holder, holder.node.end)
        holder.is_running = is_running
        for node in self.tree.path(holder.node):
            self._count(node, -1)
            node.num_running += 1 if is_running else -1
            self._count(node, 1)
        self._resize_tail(holder, num_computed)

    def _resize_tail(self, holder: Holder, num_computed: int) -> None:
        change = num_computed - holder.num_computed
        holder.num_computed = num_computed
        if holder.is_running:
            self.num_used += change
        else:
            self.num_cached += change

    def _count(self, node: Node, sign: int) -> None:
        """Add a node's cells to where they count, or take them away."""
        if node.num_running:
            self.num_used += sign * len(node.tokens)
        elif node.holders:
            self.num_cached += sign * len(node.tokens)

    def _touch(self, holder: Holder) -> None:
        self._tick += 1
        holder.last_used = self._tick
        for node in self.tree.path(holder.node):
            node.last_used = self._tick


def _idle_holder(match: Match) -> Holder | None:
    """A finished sequence that ends where the match ends, or one token later."""
    if match.holder is not None:
        ends = not match.holder.is_running and match.holder.num_computed - match.num_held <= 1
        return match.holder if ends else None
    if match.child is not None:
        return None
    return next((holder for holder in match.node.tails if not holder.is_running and holder.num_tail == 0), None)


def _source(match: Match, tree: PrefixTree) -> tuple[Holder | None, int]:
    """Somebody in the cache with the longest part of the match, and how long that part is."""
    if match.holder is not None:
        return match.holder, match.num_held
    if match.child is not None and match.child.holders:
        return next(iter(match.child.holders)), match.num_held
    resident = [node for node in tree.path(match.node) if node.holders]
    if not resident:
        return None, 0
    return next(iter(resident[-1].holders)), resident[-1].end
