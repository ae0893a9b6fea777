from __future__ import annotations

import pytest

from .comparison import Figure, Row, better_of, rows_of
from .load import Figures


def figures(tokens_per_second: float, first: float, gap: float, wall: float = 1.0) -> Figures:
    return Figures(
        tokens_per_second=tokens_per_second, first_token_seconds=first, longest_gap_seconds=gap, wall_seconds=wall,
        num_tokens=1, num_prompt_tokens=1,
    )  # fmt: skip


def row(figure: Figure, *, theirs: float, ours: float, goal: float | None = None, against: str = "a") -> Row:
    return Row(work="copy", figure=figure, against=against, theirs=theirs, ours=ours, goal=goal)


def test_medians_of_all_figures_are_compared() -> None:
    theirs = [figures(10, 2.0, 1.0, 4.0), figures(20, 4.0, 1.0, 8.0), figures(30, 9.0, 8.0, 9.0)]
    ours = [figures(18, 1.0, 2.0, 4.0), figures(19, 1.0, 2.0, 4.0), figures(90, 1.0, 2.0, 4.0)]
    rows = rows_of("distinct8", "llama-server", theirs, ours)
    assert [(r.work, r.against, r.figure.value, r.theirs, r.ours, r.ratio, r.gain) for r in rows] == [
        ("distinct8", "llama-server", "tokens/s", 20, 19, 0.95, 0.95),
        ("distinct8", "llama-server", "first token, s", 4.0, 1.0, 0.25, 4.0),
        ("distinct8", "llama-server", "longest gap, s", 1.0, 2.0, 2.0, 0.5),
        ("distinct8", "llama-server", "all answered, s", 8.0, 4.0, 0.5, 2.0),
    ]


def test_a_figure_that_one_of_them_lacks_is_left_out() -> None:
    rows = rows_of("one", "x", [figures(10, 1.0, 0.0)], [figures(10, 1.0, 0.5)])
    assert [r.figure for r in rows] == [Figure.TOKENS_PER_SECOND, Figure.FIRST_TOKEN, Figure.WALL]


@pytest.mark.parametrize(
    ("figure", "ours", "goal", "is_met"),
    [
        (Figure.TOKENS_PER_SECOND, 11.0, 1.1, True),
        (Figure.TOKENS_PER_SECOND, 10.9, 1.1, False),
        (Figure.TOKENS_PER_SECOND, 9.8, 0.97, True),
        (Figure.LONGEST_GAP, 1.4, 0.15, True),
        (Figure.LONGEST_GAP, 1.6, 0.15, False),
        (Figure.WALL, 9.0, None, True),
        (Figure.WALL, 11.0, None, False),
    ],
)
def test_a_goal_is_a_least_of_speed_and_a_most_of_time(
    figure: Figure, ours: float, goal: float | None, is_met: bool
) -> None:
    assert row(figure, theirs=10.0, ours=ours, goal=goal).is_met is is_met


def test_the_better_of_two_settings_is_the_one_that_leaves_us_the_smaller_gain() -> None:
    speed, wall = Figure.TOKENS_PER_SECOND, Figure.WALL
    rows = [
        row(speed, theirs=10, ours=30, against="default"),
        row(speed, theirs=20, ours=30, against="tuned"),
        row(wall, theirs=2.0, ours=1.0, against="default"),
        row(wall, theirs=3.0, ours=1.0, against="tuned"),
    ]
    better = better_of(rows, ("default", "tuned"), against="the better")
    assert [(r.figure, r.against, r.theirs) for r in better] == [(speed, "the better", 20), (wall, "the better", 2.0)]


def test_what_was_measured_with_one_setting_only_has_no_better_one() -> None:
    rows = [row(Figure.WALL, theirs=2.0, ours=1.0, against="default")]
    assert better_of(rows, ("default", "tuned"), against="the better") == []
