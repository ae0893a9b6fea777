"""Which runs of the prefix tree are saved outside the KV cache: keys, the bound on them, and who goes first.

Every cell in use makes each step's attention longer, whoever it belongs to; a small model's cells are cheap to copy out
and back (a millisecond or two) and dear to keep. Pure: the bytes are the step loop's.
"""

from __future__ import annotations

from edge_agent.engine.kv_operations import Forget, Operation, Save
from edge_agent.engine.prefix_tree import Node, PrefixTree


class SavedRuns:
    """At most `max_tokens` tokens. Whatever is above a saved run is saved too, so that it can always be loaded."""

    def __init__(self, tree: PrefixTree, *, max_tokens: int) -> None:
        self.num_tokens = 0
        self.num_evicted = 0
        self._tree = tree
        self._max_tokens = max_tokens
        self._last_key = 0

    def fits(self, num_tokens: int) -> bool:
        """Whether so long a conversation may be saved at all, others forgotten."""
        return num_tokens <= self._max_tokens

    def save(self, path: list[Node], seq_id: int) -> list[Operation]:
        """Save a whole path, which `seq_id` holds, and forget what is too much then."""
        operations: list[Operation] = []
        for node in path:
            if node.key is None:
                self.num_tokens += len(node.tokens)
                operations.append(self._save(node, seq_id))
        return operations + self._forget_overflow()

    def split(self, node: Node, end: int, seq_id: int) -> tuple[Node, list[Operation]]:
        """Cut a run at position `end`, and what is saved of it; `seq_id` holds all of it. Returns the upper part."""
        old_key = node.key
        upper = self._tree.split(node, end)
        if old_key is None:
            return upper, []
        return upper, [self._save(upper, seq_id), self._save(node, seq_id), Forget(old_key)]

    def restore(self, node: Node) -> list[Operation]:
        """A run that was read from the disk counts as saved; it stays at least until the next one is saved."""
        node.key = self._new_key()
        node.is_from_disk = True
        self.num_tokens += len(node.tokens)
        return self._forget_overflow(keep=node)

    def _save(self, node: Node, seq_id: int) -> Save:
        node.key = self._new_key()
        return Save(seq_id, node.start, node.end, node.key)

    def _forget_overflow(self, *, keep: Node | None = None) -> list[Operation]:
        """Forget least recently used runs, the end of a conversation before its beginning, until the rest fits."""
        operations: list[Operation] = []
        while self.num_tokens > self._max_tokens:
            saved = [node for node in self._tree.nodes() if node.key is not None and node is not keep]
            if not saved:
                break
            operations.append(self._forget(min(saved, key=lambda node: (node.last_used, -node.start))))
        return operations

    def _forget(self, node: Node) -> Forget:
        key, node.key = saved_key(node), None
        self.num_tokens -= len(node.tokens)
        if not node.holders:
            self.num_evicted += len(node.tokens)
        self._tree.prune(node)
        return Forget(key)

    def _new_key(self) -> int:
        self._last_key += 1
        return self._last_key


def saved_key(node: Node) -> int:
    """The key of a saved run. Raises LookupError for one that is not saved."""
    if node.key is None:
        raise LookupError(f"tokens {node.start} to {node.end} are not saved")
    return node.key
