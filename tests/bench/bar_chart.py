"""The comparison as a picture: for each goal a bar, how many times better edge-agent is, with a mark at the goal.

Logarithmic, since gains lie between a tenth and a hundredfold: as far right of the line as another is left of it is
as much better as that one is worse. Pure; SVG as text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from .comparison import Row
from .report import goal_text, ratio_text
from .results import SuiteResult

WIDTH, LABEL_WIDTH, NUMBERS_WIDTH = 1000, 372, 190
ROW_HEIGHT, HEADING_HEIGHT, TOP = 28, 34, 92
# Gains beyond these are drawn as these; their numbers stand beside them.
LEAST_GAIN, MOST_GAIN = 0.5, 64.0
TICKS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
PLOT_WIDTH = WIDTH - LABEL_WIDTH - NUMBERS_WIDTH
MET, MISSED, INK, FAINT = "#1b7f5c", "#b04a24", "#1d2430", "#d5d9e0"


def bar_chart(results: Sequence[SuiteResult]) -> str:
    """An SVG document of all rows that have a goal, under a heading a suite."""
    groups = [(result.suite, [row for row in result.rows if row.goal is not None]) for result in results]
    bodies, bottom = _groups([group for group in groups if group[1]])
    height = bottom + 18
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" '
        f'font-size="13" fill="{INK}" role="img"><title>edge-agent beside others: how many times better</title>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        *_legend(),
        *(part for tick in TICKS for part in _tick(tick, bottom)),
        *bodies,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _legend() -> list[str]:
    return [
        '<text x="16" y="28" font-size="17" font-weight="600">edge-agent beside others: how many times better</text>',
        _legend_box(16, MET, "goal met"),
        _legend_box(112, MISSED, "goal not met"),
        _goal_mark(242, 38),
        '<text x="252" y="53">goal</text>',
        f'<text x="{WIDTH - 16}" y="{TOP - 12}" text-anchor="end" font-weight="600">ratio, goal</text>',
    ]


def _legend_box(x: int, fill: str, text: str) -> str:
    return f'<rect x="{x}" y="42" width="14" height="14" rx="3" fill="{fill}"/><text x="{x + 20}" y="53">{text}</text>'


def _tick(gain: float, bottom: int) -> list[str]:
    x = _x(gain)
    stroke = INK if gain == 1 else FAINT
    text = "equal" if gain == 1 else f"{gain:g}x"
    return [
        f'<path d="M{x:.1f} {TOP - 6}V{bottom}" stroke="{stroke}"/>',
        f'<text x="{x:.1f}" y="{TOP - 12}" text-anchor="middle">{text}</text>',
    ]


def _groups(groups: Sequence[tuple[str, list[Row]]]) -> tuple[list[str], int]:
    """The headings and bars, and where they end."""
    parts, y = [], TOP
    for suite, rows in groups:
        # Off the plot, so that no line crosses it.
        parts.append(f'<text x="16" y="{y + 20}" font-weight="600">{escape(suite)}</text>')
        y += HEADING_HEIGHT
        for row in rows:
            parts += _bar(row, y)
            y += ROW_HEIGHT
    return parts, y


def _bar(row: Row, y: int) -> list[str]:
    colour = MET if row.is_met else MISSED
    left, right = sorted((_x(1), _x(row.gain)))
    text = f"{row.work}: {row.figure.value}"
    if row.against != "llama-server":
        text += f" ({row.against})"
    return [
        f'<text x="{LABEL_WIDTH - 12}" y="{y + 15}" text-anchor="end" font-size="12">{escape(text)}</text>',
        f'<rect x="{left:.1f}" y="{y + 2}" width="{max(2.0, right - left):.1f}" height="17" rx="3" fill="{colour}"/>',
        _goal_mark(_x(row.goal_gain or 1.0), y - 1),
        # In shape and colour, since a bar of about 1 is too short for either.
        f'<text x="{WIDTH - 16}" y="{y + 15}" text-anchor="end" fill="{colour}">'
        f"{ratio_text(row)}, goal {goal_text(row)} {'✓' if row.is_met else '✗'}</text>",
    ]


def _goal_mark(x: float, y: int) -> str:
    return f'<rect x="{x - 2:.1f}" y="{y}" width="4" height="23" rx="2" fill="{INK}" stroke="#ffffff"/>'


def _x(gain: float) -> float:
    share = math.log(min(max(gain, LEAST_GAIN), MOST_GAIN) / LEAST_GAIN) / math.log(MOST_GAIN / LEAST_GAIN)
    return LABEL_WIDTH + share * PLOT_WIDTH
