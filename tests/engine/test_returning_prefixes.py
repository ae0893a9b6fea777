"""Which beginnings are worth a file."""

from __future__ import annotations

from edge_agent.engine.returning_prefixes import MAX_POINTS, ReturningPrefixes

SYSTEM = list(range(700))


def not_on_disk(_tokens: list[int]) -> bool:
    return False


def prompt(number: int, *, system: list[int] = SYSTEM) -> list[int]:
    """A question of its own after a system prompt."""
    return [*system, *(10_000 + 100 * number + i for i in range(20))]


def test_a_second_conversation_makes_a_beginning_worth_it() -> None:
    returning = ReturningPrefixes(has=not_on_disk)
    assert returning.note(prompt(1), 0) is None
    assert returning.note(prompt(2), 700) is None
    assert returning.note(prompt(3), 700) == 700


def test_the_same_conversation_again_does_not() -> None:
    returning = ReturningPrefixes(has=not_on_disk)
    for num_more in (0, 50, 500):
        assert returning.note(prompt(1) + [7] * num_more, 700) is None


def test_the_same_prompt_again_does_not() -> None:
    returning = ReturningPrefixes(has=not_on_disk)
    assert [returning.note(prompt(1), 719) for _ in range(3)] == [None, None, None]


def test_a_short_beginning_is_not_worth_it() -> None:
    returning = ReturningPrefixes(has=not_on_disk)
    system = SYSTEM[:255]
    assert [returning.note(prompt(number, system=system), 255) for number in range(4)] == [None] * 4


def test_what_all_have_in_common_counts_where_some_begin_their_questions_alike() -> None:
    returning = ReturningPrefixes(has=not_on_disk)
    assert returning.note([*SYSTEM, 1, 2, *prompt(1)[700:]], 702) is None
    assert returning.note(prompt(2), 700) == 700


def test_what_is_on_disk_is_not_asked_for_again() -> None:
    asked: list[int] = []

    def has(tokens: list[int]) -> bool:
        asked.append(len(tokens))
        return True

    returning = ReturningPrefixes(has=has)
    assert [returning.note(prompt(number), 700) for number in range(3)] == [None, None, None]
    assert asked == [700, 700]


def test_it_is_asked_for_until_it_is_on_disk() -> None:
    returning = ReturningPrefixes(has=not_on_disk)
    assert [returning.note(prompt(number), 700) for number in range(4)] == [None, 700, 700, 700]


def test_points_not_seen_for_long_are_forgotten() -> None:
    returning = ReturningPrefixes(has=not_on_disk)
    assert returning.note(prompt(1), 700) is None
    for number in range(MAX_POINTS):
        assert returning.note([number + 1, *SYSTEM], 650) is None
    assert returning.note(prompt(2), 700) is None


def test_numbers_that_do_not_fit_the_prompt_are_ignored() -> None:
    returning = ReturningPrefixes(has=not_on_disk)
    assert returning.note(SYSTEM, 701) is None
