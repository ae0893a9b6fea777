from __future__ import annotations

from .comparison import Figure, Row
from .goals import BETTER, COLD, FOR_DECODE, FOR_PREFILL, GOALS, LIMIT, LLAMA_SERVER, NGRAM, STEP, with_goals
from .memory_limit import TITLE as MEMORY_TITLE
from .prefix_restart import TITLE as RESTART_TITLE
from .serving_cost import TITLE as COST_TITLE
from .suites import PARTS


def row(figure: Figure, against: str) -> Row:
    return Row(work="copy", figure=figure, against=against, theirs=1.0, ours=1.0)


def test_a_row_gets_the_goal_of_its_suite_and_rival() -> None:
    rows = [
        row(Figure.TOKENS_PER_SECOND, BETTER),
        row(Figure.TOKENS_PER_SECOND, LLAMA_SERVER),
        row(Figure.WALL, BETTER),
    ]
    assert [r.goal for r in with_goals("small", rows)] == [1.1, None, None]
    assert [r.goal for r in with_goals("gemma", rows)] == [None, None, None]


def test_every_goal_is_of_something_that_its_suite_measures() -> None:
    measured = {
        (suite, part.titles.get(work, work), rival.name)
        for suite, parts in PARTS.items()
        for part in parts
        for rival in part.rivals
        for work in rival.workloads
    }
    measured |= {(suite, work, BETTER) for suite, work, name in measured if name == NGRAM}
    measured |= {("restart", RESTART_TITLE, COLD), ("cost", COST_TITLE, STEP), ("memory", MEMORY_TITLE, LIMIT)}
    assert {(suite, work, against) for suite, work, _, against in GOALS} <= measured


def test_every_part_has_users_for_its_rivals_workloads() -> None:
    parts = [part for parts in PARTS.values() for part in parts]
    assert [part for part in parts if not {w for r in part.rivals for w in r.workloads} <= set(part.workloads)] == []


def test_both_tunings_of_the_4b_shape_are_measured() -> None:
    assert [dict(part.titles) for part in PARTS["4b"]] == [{"distinct1": FOR_PREFILL}, {"distinct1": FOR_DECODE}]
