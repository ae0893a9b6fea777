"""Which finished conversations are saved in memory, outside the KV cache, for their next turn.

Every cell in use makes each step's attention longer, whoever it belongs to; a small model's cells are cheap to copy
out and back (a millisecond or two) and dear to keep. Pure bookkeeping in tokens: the bytes are the step loop's.
"""

from __future__ import annotations

from collections import OrderedDict


class SavedPrefixes:
    """Token lists by key, least recently used first, at most `max_tokens` in all."""

    def __init__(self, *, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._prefixes: OrderedDict[int, list[int]] = OrderedDict()
        self._next_key = 0

    def fits(self, num_tokens: int) -> bool:
        """Whether so long a prefix may be saved at all, others removed."""
        return num_tokens <= self._max_tokens

    def items(self) -> list[tuple[int, list[int]]]:
        return list(self._prefixes.items())

    def add(self, tokens: list[int]) -> int:
        """Save a prefix that fits; returns its key. `overflow` then says what has to go."""
        self._next_key += 1
        self._prefixes[self._next_key] = tokens
        return self._next_key

    def overflow(self) -> list[int]:
        """Keys to remove, oldest first, until the rest is within bounds."""
        excess = sum(map(len, self._prefixes.values())) - self._max_tokens
        keys = []
        for key, tokens in self._prefixes.items():
            if excess <= 0:
                break
            keys.append(key)
            excess -= len(tokens)
        return keys

    def remove(self, key: int) -> list[int]:
        """Take a prefix out; returns its tokens."""
        return self._prefixes.pop(key)
