"""Sensors that share a name get a number, so that each keeps a series of its own."""

from __future__ import annotations

from collections import Counter


class RepeatedNames:
    """Hands out names: the first `cpu-thermal` stays itself, the next is `cpu-thermal_2`.

    Names of board files are cut to 64 printable characters: they become label values.
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def unique(self, name: str) -> str:
        shown = "".join(character for character in name if character.isprintable())[:64] or "unknown"
        self._seen[shown] += 1
        return shown if self._seen[shown] == 1 else f"{shown}_{self._seen[shown]}"
