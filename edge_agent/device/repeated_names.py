"""Sensors that share a name get a number, so that each keeps a series of its own."""

from __future__ import annotations

import itertools

from edge_agent.device.label_text import shown


class RepeatedNames:
    """Hands out names: the first `cpu-thermal` stays itself, the next is `cpu-thermal_2`.

    Names come from board files and are made fit to be label values.
    """

    def __init__(self) -> None:
        self._given: set[str] = set()

    def unique(self, name: str) -> str:
        text = shown(name) or "unknown"
        candidates = itertools.chain([text], (f"{text}_{number}" for number in itertools.count(2)))
        free = next(candidate for candidate in candidates if candidate not in self._given)
        self._given.add(free)
        return free
