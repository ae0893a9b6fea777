from __future__ import annotations

import xml.etree.ElementTree as ET

from .bar_chart import LOSS, WIN, bar_chart
from .comparison import markdown, rows_of
from .load import Figures


def figures(tokens_per_second: float, first: float, gap: float) -> Figures:
    return Figures(tokens_per_second=tokens_per_second, first_token_seconds=first, longest_gap_seconds=gap)


THEIRS = [figures(10, 2.0, 1.0), figures(20, 4.0, 1.0), figures(30, 9.0, 8.0)]
OURS = [figures(18, 1.0, 2.0), figures(19, 1.0, 2.0), figures(90, 1.0, 2.0)]


def test_medians_are_compared_and_more_is_not_always_better() -> None:
    rows = rows_of("distinct8", THEIRS, OURS)
    assert [(row.figure.title, row.theirs, row.ours, row.ratio, row.is_win) for row in rows] == [
        ("tokens/s", 20, 19, 0.95, False),
        ("first token, s", 4.0, 1.0, 0.25, True),
        ("longest gap, s", 1.0, 2.0, 2.0, False),
    ]


def test_a_figure_that_one_of_them_lacks_is_left_out() -> None:
    rows = rows_of("one", [figures(10, 1.0, 0.0)], [figures(10, 1.0, 0.5)])
    assert [row.figure.title for row in rows] == ["tokens/s", "first token, s"]


def test_the_table_has_a_line_for_each_row() -> None:
    assert markdown(rows_of("distinct8", THEIRS, OURS)[:1], rival="llama-server") == (
        "| work | figure | llama-server | edge-agent | ratio |\n"
        "|---|---|---|---|---|\n"
        "| distinct8 | tokens/s | 20 | 19 | 0.95 |\n"
    )


def test_the_picture_is_svg_with_a_bar_for_each_row_coloured_by_who_is_better() -> None:
    drawn = ET.fromstring(bar_chart(rows_of("a<b", THEIRS, OURS), rival="x & y"))  # noqa: S314 (our own text)
    bars = [element.get("fill") for element in drawn.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert bars == [LOSS, WIN, LOSS]
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"edge-agent by x & y", "a<b: tokens/s ↑", "a<b: longest gap, s ↓", "0.95", "0.25", "2.00"} <= set(texts)
