from __future__ import annotations

import pytest

from .bench_run import minutes
from .comparison import Figure
from .load import BenchError, Figures
from .rounds import check_same_prompt, compare_with


def figures(tokens_per_second: float) -> Figures:
    return Figures(tokens_per_second, 0.0, 0.0, 0.0, 1, 1)


def test_the_time_it_takes_grows_with_the_rounds_of_suites_that_have_rounds() -> None:
    assert minutes(["small", "memory"], num_rounds=3) == 8.0
    assert minutes(["memory"], num_rounds=9) == 1.5


def test_each_rival_is_compared_on_what_it_took_part_in_under_its_title() -> None:
    taken = {
        ("us", "copy"): [figures(30.0)],
        ("us", "turns"): [figures(8.0)],
        ("them", "copy"): [figures(20.0)],
        ("them", "turns"): [figures(4.0)],
        ("others", "copy"): [figures(60.0)],
    }
    rows = compare_with("us", ["them", "others"], taken, {"turns": "six turns"})
    assert [(row.against, row.work, row.figure, row.ratio) for row in rows] == [
        ("them", "copy", Figure.TOKENS_PER_SECOND, 1.5),
        ("them", "six turns", Figure.TOKENS_PER_SECOND, 2.0),
        ("others", "copy", Figure.TOKENS_PER_SECOND, 0.5),
    ]


def test_servers_that_read_one_prompt_differently_are_not_compared() -> None:
    check_same_prompt({"us": 130, "them": 130, "one that does not tell": 0})
    with pytest.raises(BenchError, match="us: 130, them: 131"):
        check_same_prompt({"us": 130, "them": 131})
