"""How long drafts are, from costs and chances given by hand; and that they pay on whole texts."""

import random
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.engine.draft_acceptance import DraftAcceptance
from edge_agent.engine.draft_length import DraftOffer, draft_lengths
from edge_agent.engine.draft_lookup import DraftLookup

# Milliseconds that steps of a small model took.
MEASURED = {1: 16, 2: 20, 4: 35, 8: 60, 16: 112}


def measured_seconds(num_rows: int) -> float:
    """As measured, in proportion to the next larger size in between."""
    size = min((size for size in MEASURED if size >= num_rows), default=16)
    smaller = size // 2
    if size == 1 or num_rows > 16:
        return MEASURED[size] * num_rows / size / 1000
    part = (num_rows - smaller) / (size - smaller)
    return (MEASURED[smaller] + part * (MEASURED[size] - MEASURED[smaller])) / 1000


def flat_seconds(_: int) -> float:
    return 0.1


def sure_after(num_right: int, *, tested: int = 16) -> DraftAcceptance:
    """The record of a sequence whose long matches were right so many times."""
    acceptance = DraftAcceptance()
    for _ in range(num_right):
        acceptance.observe(16, num_drafted=tested, num_accepted=tested)
    return acceptance


def unsure() -> DraftAcceptance:
    """The record of a sequence whose drafts were always wrong."""
    acceptance = DraftAcceptance()
    for match_length in (2, 4, 8):
        for _ in range(20):
            acceptance.observe(match_length, num_drafted=1, num_accepted=0)
    return acceptance


def lengths(*offers: DraftOffer, num_rows: int | None = None, max_tokens: int = 16) -> list[int]:
    return draft_lengths(
        list(offers), num_rows=num_rows or len(offers), max_tokens=max_tokens, seconds_of=measured_seconds
    )


def no_match() -> DraftOffer:
    return DraftOffer(DraftAcceptance(), 0, 0)


def test_nothing_is_drafted_without_a_match() -> None:
    assert lengths() == []
    assert lengths(no_match(), no_match()) == [0, 0]


def test_a_first_long_match_is_tried_with_one_token() -> None:
    # (1 + 0.8) / 20 ms is more than 1 / 16 and than (1 + 0.8 + 0.64 + 0.512) / 35.
    assert lengths(DraftOffer(DraftAcceptance(), 8, 16)) == [1]


def test_a_draft_that_is_always_right_grows_to_the_most_that_is_allowed() -> None:
    assert lengths(DraftOffer(sure_after(20), 16, 15)) == [15]
    assert lengths(DraftOffer(sure_after(20), 16, 5)) == [5]
    assert lengths(DraftOffer(sure_after(20), 16, 15), max_tokens=3) == [3]


def test_a_draft_that_was_always_wrong_is_not_made() -> None:
    assert lengths(DraftOffer(unsure(), 2, 16)) == [0]
    assert lengths(DraftOffer(unsure(), 8, 16)) == [0]


def test_the_same_match_pays_alone_and_not_among_seven_others() -> None:
    acceptance = DraftAcceptance()
    assert lengths(DraftOffer(acceptance, 4, 16)) == [1]
    # With 8 others 60 ms make 8 tokens; a ninth row makes it 66.5 ms, for half a token.
    assert lengths(DraftOffer(acceptance, 4, 16), *(no_match() for _ in range(7))) == [0] * 8


def test_rows_of_prompts_count_as_time_that_is_spent_anyway() -> None:
    # 64 rows take 448 ms; a token more costs 7 ms.
    assert lengths(DraftOffer(sure_after(20), 16, 16), num_rows=64) == [16]


def test_the_surer_sequence_gets_the_longer_draft() -> None:
    surest, sure = DraftOffer(sure_after(20), 16, 16), DraftOffer(sure_after(1, tested=4), 16, 16)
    # Chances 0.999 and (0.8 x 0.8 + 4) / (0.8 + 4) = 0.967: the one's tenth token beats the other's first.
    assert draft_lengths([sure, surest], num_rows=2, max_tokens=10, seconds_of=flat_seconds) == [0, 10]
    assert draft_lengths([sure, surest], num_rows=2, max_tokens=40, seconds_of=flat_seconds) == [16, 16]


def test_rows_that_cost_nothing_are_all_used() -> None:
    offers = [DraftOffer(DraftAcceptance(), 2, 4) for _ in range(3)]
    assert draft_lengths(offers, num_rows=3, max_tokens=100, seconds_of=flat_seconds) == [4, 4, 4]


def test_a_probe_is_made_once_it_was_saved_up_for() -> None:
    offer = DraftOffer(unsure(), 2, 16)
    drafted = [lengths(offer)[0] for _ in range(66)]
    # A step without a draft saves 0.008 x 16 ms = 0.128 ms; a probe takes 4 ms.
    assert [index for index, length in enumerate(drafted) if length] == [31, 62]
    assert set(drafted) == {0, 1}


def test_sequences_share_the_time_that_probes_may_take() -> None:
    offers = [DraftOffer(unsure(), 2, 16), DraftOffer(unsure(), 2, 16)]
    drafted = [sum(lengths(*offers)) for _ in range(190)]
    # A step of 20 ms saves 0.08 ms for each; a probe of a third row takes 7.5 ms: after 94 steps, and again 94 later.
    assert [index for index, length in enumerate(drafted) if length] == [93, 187]


def test_two_that_have_saved_up_do_not_exceed_the_budget() -> None:
    offers = [DraftOffer(unsure(), 2, 16), DraftOffer(unsure(), 2, 16)]
    for offer in offers:
        offer.acceptance.earn_probes(100.0)
    assert lengths(*offers, max_tokens=1) == [1, 0]


def test_no_probe_is_made_where_the_budget_leaves_no_row() -> None:
    offer = DraftOffer(unsure(), 2, 16)
    offer.acceptance.earn_probes(100.0)
    assert lengths(offer, max_tokens=0) == [0]
    assert lengths(offer, max_tokens=1) == [1]


chances = st.tuples(st.sampled_from([2, 4, 8]), st.integers(0, 16), st.integers(0, 5), st.integers(0, 5))


@given(st.lists(chances, max_size=6), st.integers(0, 40), st.integers(0, 64))
def test_budgets_hold_whatever_was_learned(
    sequences: list[tuple[int, int, int, int]], max_tokens: int, num_prompt_rows: int
) -> None:
    offers = []
    for match_length, longest, num_right, num_wrong in sequences:
        acceptance = sure_after(num_right)
        for _ in range(num_wrong):
            acceptance.observe(match_length, num_drafted=4, num_accepted=0)
        acceptance.earn_probes(float(num_wrong))
        offers.append(DraftOffer(acceptance, match_length, longest))
    chosen = lengths(*offers, num_rows=len(offers) + num_prompt_rows + 1, max_tokens=max_tokens)
    assert len(chosen) == len(offers)
    assert sum(chosen) <= max_tokens
    assert all(0 <= length <= offer.max_tokens for length, offer in zip(chosen, offers, strict=True))


@given(st.lists(chances, min_size=1, max_size=3), st.integers(0, 12))
def test_no_other_allotment_makes_more_tokens_a_second(
    sequences: list[tuple[int, int, int, int]], max_tokens: int
) -> None:
    """Nobody has saved up for a probe here, so all that is drafted is meant to pay."""
    offers = []
    for match_length, longest, num_right, num_wrong in sequences:
        acceptance = DraftAcceptance()
        acceptance.observe(match_length, num_drafted=num_right + num_wrong, num_accepted=num_right)
        offers.append(DraftOffer(acceptance, match_length, min(longest, 4)))
    chosen = draft_lengths(offers, num_rows=len(offers), max_tokens=max_tokens, seconds_of=measured_seconds)
    best = max(rate(offers, list(other)) for other in allotments([o.max_tokens for o in offers], max_tokens))
    assert rate(offers, chosen) >= best * (1 - 1e-9)


def rate(offers: list[DraftOffer], chosen: list[int]) -> float:
    tokens = sum(
        offer.acceptance.chance(offer.match_length) ** power
        for offer, length in zip(offers, chosen, strict=True)
        for power in range(length + 1)
    )
    return tokens / measured_seconds(len(offers) + sum(chosen))


def allotments(longest: list[int], max_tokens: int) -> list[tuple[int, ...]]:
    if not longest:
        return [()]
    return [
        (length, *rest)
        for length in range(min(longest[0], max_tokens) + 1)
        for rest in allotments(longest[1:], max_tokens - length)
    ]


# --- whole texts ---------------------------------------------------------------------------------------------------


@dataclass
class Telling:
    """How a text was produced: tokens of each step, and the time that all steps took."""

    tokens_a_step: list[int]
    seconds: float


def tell(prompt: list[int], text: list[int], *, num_others: int = 0) -> Telling:
    """Produce `text` after `prompt` as the engine would, beside others who only decode; drafts of up to 16 tokens."""
    lookup, acceptance = DraftLookup(prompt), DraftAcceptance()
    told, telling = 0, Telling([], 0.0)
    while told < len(text):
        match_length = lookup.match_length
        offers = [
            DraftOffer(acceptance, match_length, 16 if match_length else 0),
            *(no_match() for _ in range(num_others)),
        ]
        draft = lookup.propose(lengths(*offers)[0])
        rest = text[told:]
        num_accepted = next((i for i, token in enumerate(draft) if [token] != rest[i : i + 1]), len(draft))
        if draft:
            num_tested = min(len(draft), len(rest))
            acceptance.observe(match_length, num_drafted=num_tested, num_accepted=num_accepted)
        lookup.extend(rest[: num_accepted + 1])
        told += num_accepted + 1
        telling.tokens_a_step.append(num_accepted + 1)
        telling.seconds += measured_seconds(1 + num_others + len(draft))
    return telling


def random_text(num_tokens: int, *, vocabulary: int, seed: int) -> list[int]:
    generator = random.Random(seed)
    return [generator.randrange(vocabulary) for _ in range(num_tokens)]


def test_on_a_text_that_copies_the_tokens_a_step_grow_to_the_most() -> None:
    prompt = random_text(600, vocabulary=40_000, seed=1)
    telling = tell(prompt, prompt[50:450])
    assert max(telling.tokens_a_step[:5]) <= 3
    assert all(count >= 16 for count in telling.tokens_a_step[9:-1])
    assert telling.seconds < 0.5 * 400 * 0.016


def test_a_loop_is_found_without_any_prompt() -> None:
    telling = tell([], [*range(100), *[7, 8, 9] * 100])
    assert all(count >= 16 for count in telling.tokens_a_step[120:-1])


def test_on_random_text_drafting_costs_less_than_two_in_a_hundred() -> None:
    """With few different tokens every end has occurred before, and what followed there is hardly ever right."""
    for vocabulary in (8, 16, 50, 40_000):
        for num_tokens in (200, 2000):
            text = random_text(num_tokens, vocabulary=vocabulary, seed=num_tokens)
            prompt = random_text(200, vocabulary=vocabulary, seed=2)
            assert tell(prompt, text).seconds < 1.02 * num_tokens * 0.016
            assert tell(prompt, text, num_others=3).seconds < 1.02 * num_tokens * 0.035


def test_a_text_that_begins_to_repeat_is_found_again() -> None:
    """After a thousand tokens that were never worth a draft, even the short matches that a loop begins with."""
    noise = random_text(1000, vocabulary=8, seed=3)
    telling = tell([], [*noise, *[1, 2, 3, 4, 5, 6, 7, 9, 10, 11] * 40])
    loop_steps = len(telling.tokens_a_step) - len(noise)
    assert loop_steps < 400 / 5
    assert all(count >= 16 for count in telling.tokens_a_step[-15:-1])


def test_long_matches_that_never_held_are_tried_again_when_they_do() -> None:
    acceptance, steps = unsure(), 0
    while acceptance.chance(8) < 0.9:
        length = lengths(DraftOffer(acceptance, 8, 16))[0]
        if length:
            acceptance.observe(8, num_drafted=length, num_accepted=length)
        steps += 1
    assert steps < 60
