"""Two servers' figures, round by round, as medians and ratios. Pure.

A noisy machine slows both: only the ratio of what was measured in one run means anything.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from .load import Figures


@dataclass(frozen=True, slots=True)
class Figure:
    """One column of a result: how it is read off, and whether more is better."""

    title: str
    read: Callable[[Figures], float]
    is_more_better: bool


FIGURES = (
    Figure("tokens/s", lambda figures: figures.tokens_per_second, is_more_better=True),
    Figure("first token, s", lambda figures: figures.first_token_seconds, is_more_better=False),
    Figure("longest gap, s", lambda figures: figures.longest_gap_seconds, is_more_better=False),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A workload's figure: the rival's median, ours, and ours by theirs."""

    workload: str
    figure: Figure
    theirs: float
    ours: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs

    @property
    def is_win(self) -> bool:
        return self.ratio >= 1 if self.figure.is_more_better else self.ratio <= 1


def rows_of(workload: str, theirs: list[Figures], ours: list[Figures]) -> list[Row]:
    """Rows of all figures that both have: a workload of one user has no gap worth a name."""
    rows = []
    for figure in FIGURES:
        medians = [statistics.median(figure.read(figures) for figures in rounds) for rounds in (theirs, ours)]
        if all(median > 0 for median in medians):
            rows.append(Row(workload, figure, *medians))
    return rows


def markdown(rows: list[Row], *, rival: str) -> str:
    """The table as Markdown."""
    lines = [f"| work | figure | {rival} | edge-agent | ratio |", "|---|---|---|---|---|"]
    lines += [f"| {r.workload} | {r.figure.title} | {r.theirs:.3g} | {r.ours:.3g} | {r.ratio:.2f} |" for r in rows]
    return "\n".join(lines) + "\n"
