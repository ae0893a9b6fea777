"""Finds where the last tokens of a sequence occurred before in it, and drafts what followed there.

One index a sequence, over its prompt and its answer so far; owned by the step loop. Pure: it knows token ids, and
neither llama.cpp nor whether a draft turns out right. It takes about 200 bytes a token.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

# A single token is followed by nearly anything; a pair already says something in code and names.
SHORTEST_MATCH = 2
# Beyond, a longer match makes the next token hardly any surer.
LONGEST_MATCH = 16
# Latest places that are compared. A match that goes on for long is mostly among them, and the work has a bound.
MAX_PLACES = 16
# A token id has 31 bits: three of them, one after the other, make an exact key.
ID_BITS = 32
TRIPLE_MASK = (1 << 3 * ID_BITS) - 1
PAIR_MASK = (1 << 2 * ID_BITS) - 1


class DraftLookup:
    """The index. A draft ends with the first of `end_tokens` in it: nothing comes after them."""

    def __init__(self, tokens: Iterable[int] = (), *, end_tokens: frozenset[int] = frozenset()) -> None:
        self._tokens: list[int] = []
        self._end_tokens = end_tokens
        # The last three tokens as one number.
        self._key = 0
        # A place is the position behind a pair or a triple. These hold the latest that something follows.
        self._pair_places: dict[int, int] = {}
        self._triple_places: dict[int, int] = {}
        # For each place the one before it with the same triple; 0: none.
        self._earlier = array("I")
        self._match: tuple[int, int] | None = None
        self.extend(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def extend(self, tokens: Iterable[int]) -> None:
        """The sequence goes on with these tokens."""
        for token in tokens:
            self._index_end()
            self._tokens.append(token)
            self._key = (self._key << ID_BITS | token) & TRIPLE_MASK
        self._match = None

    @property
    def match_length(self) -> int:
        """How many of the last tokens (2 to 16) are found at the place that would be drafted from; 0: none."""
        return self._best_match()[1]

    def propose(self, max_tokens: int) -> list[int]:
        """At most `max_tokens` tokens that followed there; empty without a match.

        Where the place is so near that the known tokens run out, they repeat: a loop goes on as a loop.
        """
        place, length = self._best_match()
        if length == 0:
            return []
        followed = self._tokens[place : place + max_tokens]
        num_rounds = max_tokens // max(len(followed), 1) + 1
        return self._cut_at_end_token((followed * num_rounds)[:max_tokens])

    def _index_end(self) -> None:
        """The tokens so far are about to be followed by one: their end becomes a place to be found."""
        place = len(self._tokens)
        earlier = 0
        if place >= 2:
            self._pair_places[self._key & PAIR_MASK] = place
        if place >= 3:
            earlier = self._triple_places.get(self._key, 0)
            self._triple_places[self._key] = place
        self._earlier.append(earlier)

    def _best_match(self) -> tuple[int, int]:
        """Place and length of the longest match, the latest of equals; computed once for each end of the sequence."""
        if self._match is None:
            self._match = self._longest_triple_match() or self._pair_match() or (0, 0)
        return self._match

    def _longest_triple_match(self) -> tuple[int, int] | None:
        place = self._triple_places.get(self._key, 0) if len(self._tokens) >= 3 else 0
        best_place, best_length = place, 0
        for _ in range(MAX_PLACES):
            if place == 0 or best_length == LONGEST_MATCH:
                break
            if self._may_reach(place, best_length + 1) and (length := self._length_at(place)) > best_length:
                best_place, best_length = place, length
            place = self._earlier[place]
        return (best_place, best_length) if best_length else None

    def _pair_match(self) -> tuple[int, int] | None:
        place = self._pair_places.get(self._key & PAIR_MASK, 0) if len(self._tokens) >= SHORTEST_MATCH else 0
        return (place, SHORTEST_MATCH) if place else None

    def _may_reach(self, place: int, length: int) -> bool:
        """Whether a match at `place` may be `length` long, by the first of its tokens alone: most places end here."""
        return length <= place and self._tokens[place - length] == self._tokens[-length]

    def _length_at(self, place: int) -> int:
        tokens = self._tokens
        longest = min(place, LONGEST_MATCH)
        length = 3
        while length < longest and tokens[place - length - 1] == tokens[-length - 1]:
            length += 1
        return length

    def _cut_at_end_token(self, draft: list[int]) -> list[int]:
        for index, token in enumerate(draft):
            if token in self._end_tokens:
                return draft[: index + 1]
        return draft
