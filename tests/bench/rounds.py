"""Asks all contenders of a part the same things in turn, round by round.

All are up all the time, and only one is asked at a time: an idle server costs next to nothing.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from .comparison import Row, rows_of
from .load import BenchError, Figures, measure
from .servers import Server, running
from .workload import users_of


@dataclass(frozen=True, slots=True)
class Contender:
    """A server under a name, and the workloads that it takes part in."""

    name: str
    server: Server
    workloads: tuple[str, ...]


Taken = dict[tuple[str, str], list[Figures]]


def take_rounds(
    contenders: Sequence[Contender], workloads: Sequence[str], *, num_rounds: int, say: Callable[[str], None]
) -> Taken:
    """The figures of each contender on each workload, a list of one a round. Raises BenchError."""
    taken: Taken = defaultdict(list)
    with ExitStack() as stack:
        urls = {contender.name: stack.enter_context(running(contender.server)).url for contender in contenders}
        # The first answer after a start pays for pages that are not mapped yet.
        first = {name: asyncio.run(measure(url, users_of("distinct1", salt="warm-up"))) for name, url in urls.items()}
        check_same_prompt({name: figures.num_prompt_tokens for name, figures in first.items()})
        for number in range(num_rounds):
            for work in workloads:
                for contender in _in_turn(contenders, number):
                    if work in contender.workloads:
                        figures = asyncio.run(measure(urls[contender.name], users_of(work, salt=str(number))))
                        taken[contender.name, work].append(figures)
                say(f"round {number + 1} of {num_rounds}: {work}")
    return dict(taken)


def check_same_prompt(num_tokens: Mapping[str, int]) -> None:
    """Raises BenchError when servers made different tokens of one conversation: their chat templates differ, and so
    would their work. 0 is of a server that does not tell.
    """
    if len(set(num_tokens.values()) - {0}) > 1:
        counts = ", ".join(f"{name}: {count}" for name, count in num_tokens.items())
        raise BenchError(f"the same prompt has different numbers of tokens ({counts}); give both one chat template")


def compare_with(ours: str, rivals: Sequence[str], taken: Taken, titles: dict[str, str]) -> list[Row]:
    """Ours against each rival on the workloads that the rival took part in, under their titles."""
    return [
        row
        for (name, work), theirs in taken.items()
        if name in rivals
        for row in rows_of(titles.get(work, work), name, theirs, taken[ours, work])
    ]


def _in_turn(contenders: Sequence[Contender], number: int) -> list[Contender]:
    """Another one begins in each round: what a round's first has of a cool processor, each has once."""
    first = number % len(contenders)
    return [*contenders[first:], *contenders[:first]]
