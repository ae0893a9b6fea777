from __future__ import annotations

import pytest

from .workload import document, instructions, users_of


def text_of(name: str, *, salt: str) -> list[list[str]]:
    """What each user says, message by message."""
    return [[m["content"] for q in user.questions for m in q.messages] for user in users_of(name, salt=salt)]


@pytest.mark.parametrize("name", ["distinct8", "shared4", "turns", "turns-warm", "intrude", "copy", "loop"])
def test_the_same_salt_asks_the_same_and_another_asks_something_else(name: str) -> None:
    assert text_of(name, salt="1") == text_of(name, salt="1")
    assert text_of(name, salt="1") != text_of(name, salt="2")


def test_users_of_distinct_share_no_beginning_but_the_instruction() -> None:
    texts = [user[0].removeprefix("Write a story with these words: ") for user in text_of("distinct8", salt="")]
    assert len({text[:40] for text in texts}) == 8


def test_users_of_shared_have_one_system_prompt_and_questions_of_their_own() -> None:
    said = text_of("shared8", salt="")
    assert len(said) == 8
    assert len({system for system, _ in said}) == 1
    assert len({question for _, question in said}) == 8


def test_a_shared_prompt_is_new_in_each_round_so_that_none_begins_warm() -> None:
    assert text_of("shared8", salt="1")[0][0] != text_of("shared8", salt="2")[0][0]


def test_turns_is_one_conversation_that_goes_on() -> None:
    (user,) = users_of("turns", salt="")
    assert [question.follows for question in user.questions] == [False, True, True, True, True, True]


def test_warm_turns_have_the_system_prompt_of_the_cold_ones_and_other_questions() -> None:
    (cold,), (warm,) = text_of("turns", salt="1"), text_of("turns-warm", salt="1")
    assert cold[0] == warm[0]
    assert cold[1:] != warm[1:]


def test_the_intruder_comes_when_three_are_being_answered() -> None:
    assert [user.intrudes for user in users_of("intrude", salt="")] == [False, False, False, True]


def test_a_copied_list_is_longer_than_its_answer() -> None:
    (user,) = users_of("copy", salt="")
    assert len(user.questions[0].messages[0]["content"].splitlines()) == 58
    assert user.questions[0].max_tokens == 256


def test_a_loop_shows_its_line_seven_times() -> None:
    ((text,),) = text_of("loop", salt="")
    line = text.splitlines()[-1]
    assert text.count(line) == 7


def test_a_document_is_one_user_with_words_by_the_thousand() -> None:
    (question,) = document("").questions
    assert len(question.messages[0]["content"].split()) == 1643


def test_instructions_differ_by_salt() -> None:
    assert instructions("1") == instructions("1")
    assert instructions("1") != instructions("2")


@pytest.mark.parametrize("name", ["", "distinct", "distinct0", "turns3", "everything", "shared-8", "distinct1000"])
def test_a_name_that_is_no_workload_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="give distinctN, sharedN, turns, turns-warm, intrude, copy, loop"):
        users_of(name, salt="")
