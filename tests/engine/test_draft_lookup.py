"""What is drafted from a sequence's own tokens, by hand and against a search without an index."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.engine.draft_lookup import DraftLookup


def test_what_followed_the_last_tokens_before_is_drafted() -> None:
    lookup = DraftLookup([1, 2, 3, 4, 5, 9, 1, 2, 3])
    assert lookup.match_length == 3
    assert lookup.propose(2) == [4, 5]


def test_nothing_is_drafted_where_the_last_pair_is_new() -> None:
    lookup = DraftLookup([1, 2, 3, 4, 2])
    assert lookup.match_length == 0
    assert lookup.propose(8) == []


def test_nothing_is_drafted_from_fewer_than_three_tokens() -> None:
    assert [DraftLookup(tokens).propose(4) for tokens in ([], [7], [7, 7])] == [[], [], []]


def test_a_pair_is_enough() -> None:
    lookup = DraftLookup([5, 1, 2, 8, 6, 1, 2])
    assert lookup.match_length == 2
    assert lookup.propose(1) == [8]


def test_the_longest_match_is_preferred_to_a_later_one() -> None:
    lookup = DraftLookup([1, 2, 3, 4, 50, 9, 2, 3, 4, 60, 1, 2, 3, 4])
    assert lookup.match_length == 4
    assert lookup.propose(1) == [50]


def test_of_equally_long_matches_the_latest_is_taken() -> None:
    assert DraftLookup([1, 2, 3, 50, 7, 1, 2, 3, 60, 8, 1, 2, 3]).propose(1) == [60]


def test_a_place_whose_match_ends_short_of_the_best_does_not_replace_it() -> None:
    # Behind 60 the fourth last token differs and the fifth last is the same again.
    lookup = DraftLookup([9, 4, 1, 2, 3, 50, 9, 9, 5, 1, 2, 3, 60, 9, 9, 4, 1, 2, 3])
    assert (lookup.match_length, lookup.propose(1)) == (5, [50])


def test_a_loop_is_drafted_beyond_the_tokens_that_are_known() -> None:
    lookup = DraftLookup([8, 1, 2, 3, 1, 2, 3])
    assert lookup.propose(7) == [1, 2, 3, 1, 2, 3, 1]


def test_a_token_said_again_and_again_is_drafted_as_such() -> None:
    lookup = DraftLookup([7] * 40)
    assert lookup.match_length == 16
    assert lookup.propose(5) == [7] * 5


def test_a_draft_ends_with_the_token_that_ends_an_answer() -> None:
    lookup = DraftLookup([1, 2, 3, 4, 0, 5, 1, 2, 3], end_tokens=frozenset({0}))
    assert lookup.propose(6) == [4, 0]


def test_the_answer_so_far_is_drafted_from_too() -> None:
    lookup = DraftLookup([1, 2, 3])
    lookup.extend([40, 41, 42])
    lookup.extend([1, 2])
    assert lookup.propose(3) == [3, 40, 41]
    lookup.extend([3])
    assert lookup.propose(3) == [40, 41, 42]


def test_large_token_ids_are_not_confused() -> None:
    large = 2**31 - 1
    lookup = DraftLookup([large, 0, large, 5, 0, large, 0, large])
    assert (lookup.match_length, lookup.propose(1)) == (3, [5])


def test_only_the_latest_places_are_compared_however_often_a_phrase_occurs() -> None:
    # The long match is the seventeenth place from the end: beyond the bound.
    lookup = DraftLookup([9, 1, 2, 3, 50, *[1, 2, 3, 60] * 16, 9, 1, 2, 3])
    assert (lookup.match_length, lookup.propose(1)) == (3, [60])
    nearer = DraftLookup([9, 1, 2, 3, 50, *[1, 2, 3, 60] * 15, 9, 1, 2, 3])
    assert (nearer.match_length, nearer.propose(1)) == (4, [50])


few_tokens = st.lists(st.integers(0, 3), max_size=18)


@given(few_tokens)
def test_the_index_finds_what_a_search_finds(tokens: list[int]) -> None:
    """At most 18 tokens have at most 16 places: none is beyond the bound."""
    length, place = longest_repeat(tokens)
    lookup = DraftLookup(tokens)
    assert lookup.match_length == length
    assert lookup.propose(1) == (tokens[place : place + 1] if length else [])


def longest_repeat(tokens: list[int]) -> tuple[int, int]:
    """Length of the longest end of `tokens` that occurs elsewhere, and the last such place; by trying all."""
    for length in range(min(16, len(tokens) - 1), 1, -1):
        for place in range(len(tokens) - 1, length - 1, -1):
            if tokens[place - length : place] == tokens[-length:]:
                return length, place
    return 0, 0


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(0, 60), st.integers(0, 20))
def test_it_makes_no_difference_in_how_many_parts_the_tokens_came(tokens: list[int], cut: int, max_tokens: int) -> None:
    whole, grown = DraftLookup(tokens), DraftLookup(tokens[:cut])
    grown.propose(max_tokens)
    for token in tokens[cut:]:
        grown.extend([token])
    assert len(grown) == len(tokens)
    assert grown.match_length == whole.match_length
    assert grown.propose(max_tokens) == whole.propose(max_tokens)


@given(st.lists(st.integers(0, 2), min_size=3, max_size=60), st.integers(1, 20))
def test_a_draft_is_as_long_as_asked_for_and_goes_on_like_a_place_in_the_text(
    tokens: list[int], max_tokens: int
) -> None:
    lookup = DraftLookup(tokens)
    length, draft = lookup.match_length, lookup.propose(max_tokens)
    assert len(draft) == (max_tokens if length else 0)
    # With the draft behind it, the text holds its own last tokens and all that followed them twice.
    extended = tokens + draft
    assert length == 0 or any(
        tokens[place - length : place] == tokens[-length:] and extended[place : place + max_tokens] == draft
        for place in range(length, len(tokens))
    )
