"""Which beginnings of prompts are worth a file: long ones that several conversations begin with.

Pure and bounded; used by the step loop. What is on disk already it asks through `has`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_agent.engine.prefix_file import pack_tokens

# Shorter ones are computed again in a second or two, even on a Pi, and are not worth the wear of an SD card.
MIN_TOKENS = 256
# Conversations meet a little after their common system prompt, each pair elsewhere: "What is", "How do I". Points
# within so many tokens count as one, and the earliest of them is what all have in common.
SLACK_TOKENS = 64
# Conversations seen to branch off there. One may be an edited question; two are a habit.
MIN_CONVERSATIONS = 2
# So much of what follows tells conversations apart: no more than a first question has, which its next turns repeat.
FOLLOWING_TOKENS = 8
# Points remembered, least recently seen forgotten first.
MAX_POINTS = 128


@dataclass(slots=True)
class _Point:
    """Where conversations branch off: the fewest tokens they had in common, and digests of how they went on."""

    num_tokens: int
    conversations: set[bytes] = field(default_factory=set)


class ReturningPrefixes:
    """Told of every prompt at its admission. `has` says whether a prefix of so many tokens is on disk."""

    def __init__(self, *, has: Callable[[list[int]], bool]) -> None:
        self._has = has
        self._points: OrderedDict[bytes, _Point] = OrderedDict()

    def note(self, tokens: list[int], num_shared: int) -> int | None:
        """A prompt came whose first `num_shared` tokens another conversation has too.

        Returns how many of its first tokens are worth a file now.
        """
        if not MIN_TOKENS <= num_shared <= len(tokens):
            return None
        start = num_shared // SLACK_TOKENS * SLACK_TOKENS
        point = self._point(_digest(tokens[:start]), num_shared)
        point.num_tokens = min(point.num_tokens, num_shared)
        if len(point.conversations) < MIN_CONVERSATIONS:
            point.conversations.add(_digest(tokens[start : num_shared + FOLLOWING_TOKENS]))
        if len(point.conversations) < MIN_CONVERSATIONS or self._has(tokens[: point.num_tokens]):
            return None
        return point.num_tokens

    def _point(self, key: bytes, num_shared: int) -> _Point:
        point = self._points.setdefault(key, _Point(num_shared))
        self._points.move_to_end(key)
        if len(self._points) > MAX_POINTS:
            self._points.popitem(last=False)
        return point


def _digest(tokens: list[int]) -> bytes:
    return hashlib.blake2b(pack_tokens(tokens), digest_size=16).digest()
