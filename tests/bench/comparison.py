"""Two servers' figures, round by round, as medians and ratios. Pure.

A noisy machine slows both: only the ratio of what was measured in one run means anything.
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Callable, Mapping

import msgspec

from .load import Figures


class Figure(enum.Enum):
    """What is compared, as it is written."""

    TOKENS_PER_SECOND = "tokens/s"
    FIRST_TOKEN = "first token, s"  # noqa: S105 (of text)
    LONGEST_GAP = "longest gap, s"
    WALL = "all answered, s"
    COST = "CPU a token, ms"
    MEMORY = "private memory, MB"

    @property
    def is_more_better(self) -> bool:
        return self is Figure.TOKENS_PER_SECOND


READ: Mapping[Figure, Callable[[Figures], float]] = {
    Figure.TOKENS_PER_SECOND: lambda figures: figures.tokens_per_second,
    Figure.FIRST_TOKEN: lambda figures: figures.first_token_seconds,
    Figure.LONGEST_GAP: lambda figures: figures.longest_gap_seconds,
    Figure.WALL: lambda figures: figures.wall_seconds,
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of one workload: `against` says whose is `theirs`; `goal` is a bound of ours by theirs, if any."""

    work: str
    figure: Figure
    against: str
    theirs: float
    ours: float
    goal: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def gain(self) -> float:
        """How many times better ours is, whichever direction that is."""
        return self.ratio if self.figure.is_more_better else 1 / self.ratio

    @property
    def goal_gain(self) -> float | None:
        """The gain that the goal asks for."""
        if self.goal is None:
            return None
        return self.goal if self.figure.is_more_better else 1 / self.goal

    @property
    def is_met(self) -> bool:
        """Whether the goal is reached; without one, whether ours is no worse."""
        return self.gain >= (self.goal_gain or 1.0)


def rows_of(work: str, against: str, theirs: list[Figures], ours: list[Figures]) -> list[Row]:
    """Rows of all figures that both have: an answer that came in one piece has no gap."""
    rows = []
    for figure, read in READ.items():
        medians = [statistics.median(read(figures) for figures in rounds) for rounds in (theirs, ours)]
        if all(median > 0 for median in medians):
            rows.append(Row(work=work, figure=figure, against=against, theirs=medians[0], ours=medians[1]))
    return rows


def better_of(rows: list[Row], settings: tuple[str, str], *, against: str) -> list[Row]:
    """One row more for each figure that a rival has with both settings: ours by the better of the two."""
    first, second = (_by_figure(rows, name) for name in settings)
    return [
        msgspec.structs.replace(min(row, second[key], key=lambda candidate: candidate.gain), against=against)
        for key, row in first.items()
        if key in second
    ]


def _by_figure(rows: list[Row], against: str) -> dict[tuple[str, Figure], Row]:
    return {(row.work, row.figure): row for row in rows if row.against == against}
