"""The tokens whose cells are held, as a radix tree: who shares what with whom, and where a new prompt fits in.

A node is a run of tokens that several sequences share, or that is saved outside the cache. What a sequence holds beyond
its last node is its tail, which it shares with nobody; a running sequence's tail grows. Pure: cells, bytes and
llama.cpp's ids are the ledger's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


def common_prefix_length(left: list[int], right: list[int], start: int = 0) -> int:
    """Number of equal tokens from position `start` of `right` and the beginning of `left`."""
    limit = min(len(left), len(right) - start)
    if limit <= 0 or left[0] != right[start]:
        return 0
    if left[:limit] == right[start : start + limit]:
        return limit
    low, high = 0, limit
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[start + low : start + middle]:
            low = middle
        else:
            high = middle
    return low


@dataclass(slots=True, eq=False)
class Holder:
    """A sequence with cells: its first `num_computed` tokens have theirs. While it runs, `tokens` is its own list."""

    seq_id: int
    tokens: list[int]
    node: Node
    num_computed: int
    is_running: bool = True
    last_used: int = 0

    @property
    def num_tail(self) -> int:
        return self.num_computed - self.node.end


@dataclass(slots=True, eq=False)
class Node:
    """Tokens start..end-1 of every sequence below. In the cache while it has holders, saved while it has a key."""

    tokens: list[int]
    start: int
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    # Sequences whose tail begins where this run ends.
    tails: list[Holder] = field(default_factory=list)
    holders: set[Holder] = field(default_factory=set)
    num_running: int = 0
    key: int | None = None
    # What is saved came from the disk and nobody has used it yet.
    is_from_disk: bool = False
    last_used: int = 0

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)

    @property
    def is_shared(self) -> bool:
        """Whether more than one conversation goes on from here."""
        return len(self.children) + len(self.tails) > 1


@dataclass(frozen=True, slots=True)
class Match:
    """How far a prompt's tokens are held: all of `node`, then a part of one of its children or of a holder's tail."""

    node: Node
    num_held: int
    child: Node | None = None
    holder: Holder | None = None
    # Tokens in common with what a running sequence holds or is about to compute; at least num_held.
    num_coming: int = 0


class PrefixTree:
    """Grows and shrinks with the sequences; an empty root stands for no tokens."""

    def __init__(self) -> None:
        self.root = Node([], 0)

    def nodes(self) -> Iterator[Node]:
        """Every node but the root, a parent before its children."""
        stack = [self.root]
        while stack:
            node = stack.pop()
            if node is not self.root:
                yield node
            stack += node.children

    def match(self, tokens: list[int], *, ignore: Holder | None = None) -> Match:
        """The longest held prefix of `tokens`; `ignore` is a holder whose tail does not count."""
        node = self.root
        while True:
            child, num_child = self._best_child(node, tokens)
            if child is not None and num_child == len(child.tokens):
                node = child
                continue
            found = Match(node, node.end + num_child, child=child if num_child else None)
            return _with_tails(found, tokens, ignore)

    def _best_child(self, node: Node, tokens: list[int]) -> tuple[Node | None, int]:
        best, num_best = None, 0
        for child in node.children:
            num_common = common_prefix_length(child.tokens, tokens, node.end)
            if num_common > num_best:
                best, num_best = child, num_common
        return best, num_best

    def path(self, node: Node) -> list[Node]:
        """The nodes from below the root down to `node`."""
        nodes = []
        while node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    def add(self, tokens: list[int], parent: Node) -> Node:
        """A new run below `parent`."""
        node = Node(tokens, parent.end, parent, last_used=parent.last_used)
        parent.children.append(node)
        return node

    def split_tail(self, holder: Holder, end: int) -> Node:
        """The holder's tail up to `end` becomes a node of its own; returns the node that ends there."""
        above = holder.node
        if end == above.end:
            return above
        node = self.add(holder.tokens[above.end : end], above)
        node.holders.add(holder)
        node.num_running = int(holder.is_running)
        self.move_tail(holder, node)
        return node

    def split(self, node: Node, end: int) -> Node:
        """Cut a run in two at position `end`; returns the new upper part, which has the holders but no key."""
        above = node.parent
        if above is None:
            raise ValueError("the root cannot be split")
        upper = Node(
            node.tokens[: end - node.start], node.start, above, [node],
            holders=set(node.holders), num_running=node.num_running, last_used=node.last_used,
        )  # fmt: skip
        above.children[above.children.index(node)] = upper
        node.tokens, node.start, node.parent = node.tokens[end - node.start :], end, upper
        return upper

    def move_tail(self, holder: Holder, node: Node) -> None:
        """The holder's tail begins at the end of another node from now on."""
        holder.node.tails.remove(holder)
        holder.node = node
        node.tails.append(holder)

    def prune(self, node: Node) -> None:
        """Take out what nobody holds and nothing saves, from `node` upwards."""
        while node.parent is not None and not (node.holders or node.children or node.key is not None):
            node.parent.children.remove(node)
            node = node.parent


def _with_tails(found: Match, tokens: list[int], ignore: Holder | None) -> Match:
    """The match, gone on with in a tail that has more of the prompt than any child."""
    start = found.node.end
    best, num_held, num_coming = None, found.num_held, found.num_held
    for holder in found.node.tails:
        if holder is ignore:
            continue
        num_common = start + common_prefix_length(holder.tokens[start:], tokens, start)
        if min(num_common, holder.num_computed) > num_held:
            best, num_held = holder, min(num_common, holder.num_computed)
        if holder.is_running:
            num_coming = max(num_coming, num_common)
    if best is None:
        return Match(found.node, found.num_held, found.child, num_coming=num_coming)
    return Match(found.node, num_held, holder=best, num_coming=max(num_coming, num_held))
