"""What text comes out when, for pieces fed by hand."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.engine.answer_text import AnswerText


def test_text_without_stop_strings_comes_out_at_once() -> None:
    assert AnswerText([]).feed(b"hello ") == "hello "


def test_a_character_split_over_tokens_comes_out_whole() -> None:
    text = AnswerText([])
    euro = "€".encode()
    assert [text.feed(euro[:1]), text.feed(euro[1:2]), text.feed(euro[2:])] == ["", "", "€"]


def test_a_broken_character_at_the_end_becomes_a_replacement_character() -> None:
    text = AnswerText([])
    assert text.feed(b"a\xe2\x82") == "a"
    assert text.finish() == "�"


def test_what_may_become_a_stop_string_is_held_back() -> None:
    text = AnswerText(["END"])
    assert text.feed(b"the EN") == "the "
    assert text.feed(b"GINE") == "ENGINE"[: -len("E")]
    assert text.finish() == "E"


def test_a_stop_string_split_over_tokens_ends_the_answer_before_it() -> None:
    text = AnswerText(["\n\nUser:"])
    assert text.feed(b"Bye.\n") == "Bye."
    assert text.feed(b"\nUser") == ""
    assert text.feed(b": and more") == ""
    assert text.stop_string == "\n\nUser:"
    assert text.finish() == ""


def test_the_earliest_of_several_stop_strings_wins() -> None:
    text = AnswerText(["late", "early"])
    assert text.feed(b"an early and a late one") == "an "
    assert text.stop_string == "early"


def test_a_stop_string_of_several_bytes_a_character_is_found() -> None:
    text = AnswerText(["。"])
    raw = "天。空".encode()
    assert [text.feed(raw[i : i + 1]) for i in range(6)] == ["", "", "天", "", "", ""]
    assert text.stop_string == "。"


@given(
    whole=st.text(alphabet="ab€", max_size=40),
    stop=st.lists(st.text(alphabet="ab€", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(0, 60), max_size=8),
)
def test_however_the_bytes_are_cut_the_text_is_what_stands_before_the_first_stop_string(
    whole: str, stop: list[str], cuts: list[int]
) -> None:
    raw = whole.encode()
    edges = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    text = AnswerText(stop)
    out = ""
    for start, end in itertools.pairwise(edges):
        if text.stop_string is None:
            out += text.feed(raw[start:end])
    out += text.finish()

    positions = [whole.find(s) for s in stop if s in whole]
    if text.stop_string is None:
        assert not positions
        assert out == whole
    else:
        assert whole.startswith(out + text.stop_string)
        assert not any(s in out for s in stop)
