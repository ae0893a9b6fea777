"""Sensors that share a name get a number, so that each keeps a series of its own."""

from __future__ import annotations

import itertools


class RepeatedNames:
    """Hands out names: the first `cpu-thermal` stays itself, the next is `cpu-thermal_2`.

    Names of board files are cut to 64 printable characters: they become label values.
    """

    def __init__(self) -> None:
        self._given: set[str] = set()

    def unique(self, name: str) -> str:
        shown = "".join(character for character in name if character.isprintable())[:64] or "unknown"
        candidates = itertools.chain([shown], (f"{shown}_{number}" for number in itertools.count(2)))
        free = next(candidate for candidate in candidates if candidate not in self._given)
        self._given.add(free)
        return free
