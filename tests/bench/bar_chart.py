"""A comparison as a picture: one bar a row, its length the ratio, a line where both are equal. Pure; SVG as text."""

from __future__ import annotations

from xml.sax.saxutils import escape

from .comparison import Row

WIDTH, LABEL_WIDTH, ROW_HEIGHT, TOP = 860, 250, 26, 56
# A ratio beyond this is drawn as this; its number stands beside it.
LONGEST_RATIO = 2.0
UNIT = (WIDTH - LABEL_WIDTH - 90) / LONGEST_RATIO
WIN, LOSS = "#0b6e4f", "#b4532a"


def bar_chart(rows: list[Row], *, rival: str) -> str:
    """An SVG document. Green where edge-agent is better, whichever direction that is."""
    height = TOP + ROW_HEIGHT * len(rows) + 16
    equal = LABEL_WIDTH + UNIT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" '
        f'font-size="13" role="img"><title>edge-agent by {escape(rival)}, ratios</title>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="16" y="26" font-size="16" font-weight="600">edge-agent by {escape(rival)}</text>',
        f'<text x="{equal:.0f}" y="44" text-anchor="middle" fill="#556">equal</text>',
        f'<path d="M{equal:.0f} {TOP - 6}V{height - 12}" stroke="#556" stroke-dasharray="4 3"/>',
        *(part for index, row in enumerate(rows) for part in _bar(row, TOP + ROW_HEIGHT * index)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _bar(row: Row, top: int) -> list[str]:
    width = UNIT * min(row.ratio, LONGEST_RATIO)
    # Which way is better.
    arrow = "↑" if row.figure.is_more_better else "↓"
    return [
        f'<text x="{LABEL_WIDTH - 10}" y="{top + 14}" text-anchor="end">{escape(row.workload)}: '
        f"{escape(row.figure.title)} {arrow}</text>",
        f'<rect x="{LABEL_WIDTH}" y="{top}" width="{width:.1f}" height="18" rx="3" '
        f'fill="{WIN if row.is_win else LOSS}"/>',
        f'<text x="{LABEL_WIDTH + width + 8:.1f}" y="{top + 14}" stroke="#fff" stroke-width="4" paint-order="stroke">'
        f"{row.ratio:.2f}</text>",
    ]
