"""What the engine does to be fast changes no answer: prefix cache, drafts and company, with two real models.

With q8_0 and flash attention llama.cpp computes a row to the same bits over the same chunk boundaries. Where rows come
in another number, or cells lie elsewhere, answers may part at a near tie (`told.NEAR_TIE`) and nowhere else.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.engine.kv_ledger import MIN_AWAITED
from edge_agent.protocol import SamplingSettings

from .engine_under_test import EngineUnderTest, running_engine
from .told import Told, ask, ask_all, assert_equal_but_near_ties, assert_identical, licence_tokens

# Chunks of 32 rows whatever a step costs here, so that chunk boundaries are known.
CHUNKED = {
    "max_batch_tokens": 32,
    "micro_batch_tokens": 32,
    "max_step_seconds": 60.0,
    "target_inter_token_seconds": 60.0,
}
UNDRAFTED = {"max_draft_tokens": 0}


@pytest.fixture
def model_path(smollm2_path: Path) -> Path:
    """A model whose prefixes can be cut anywhere; the one with a window has tests of its own below."""
    return smollm2_path


def ask_afresh(path: Path, prompt_ranges: list[list[range]], **changes: object) -> list[Told]:
    """Each prompt, made of parts of the licence, asked of an engine that has computed nothing before."""
    told = []
    for ranges in prompt_ranges:
        with running_engine(path, **CHUNKED, **changes) as engine:
            told.append(ask(engine, cut(licence_tokens(engine), ranges)))
    return told


def cut(tokens: list[int], ranges: list[range]) -> list[int]:
    return [tokens[index] for part in ranges for index in part]


def ask_in_turn(engine: EngineUnderTest, prompt_ranges: list[list[range]]) -> list[Told]:
    tokens = licence_tokens(engine)
    return [ask(engine, cut(tokens, ranges)) for ranges in prompt_ranges]


# --- the prefix cache ----------------------------------------------------------------------------------------------


def test_a_prefix_from_the_cache_gives_the_very_bits_that_computing_it_gives(model_path: Path) -> None:
    prefix = range(1000, 1064)
    prompts = [[prefix, range(100, 116)], [prefix, range(200, 216)]]
    with running_engine(model_path, **CHUNKED, **UNDRAFTED) as engine:
        ask(engine, cut(licence_tokens(engine), [prefix]), num_tokens=1)
        told = ask_in_turn(engine, prompts)
    assert [t.finished.prompt.memory for t in told] == [64, 64]
    assert_identical(told, ask_afresh(model_path, prompts, **UNDRAFTED))


def test_the_same_request_again_is_answered_the_same(model_path: Path) -> None:
    prompts = [[range(start, start + 64)] for start in (0, 400, 800)]
    with running_engine(model_path, **CHUNKED, **UNDRAFTED) as engine:
        first, second, third = (ask_in_turn(engine, prompts) for _ in range(3))
    assert [t.finished.prompt.memory for t in second + third] == [63] * 6
    # The last token of a prompt was one of 32 rows and is alone now.
    assert_equal_but_near_ties(second, first)
    assert_equal_but_near_ties(third, first)


def test_two_fresh_engines_answer_the_same(model_path: Path) -> None:
    prompts = [[range(64)]]
    assert_identical(ask_afresh(model_path, prompts, **UNDRAFTED), ask_afresh(model_path, prompts, **UNDRAFTED))


def test_a_conversation_goes_on_as_if_it_were_computed_anew(model_path: Path) -> None:
    with running_engine(model_path, **CHUNKED) as engine:
        tokens = licence_tokens(engine)
        first = ask(engine, tokens[500:564])
        next_turn = [*tokens[500:564], *first.tokens, *tokens[900:932]]
        told = ask(engine, next_turn)
    assert told.finished.prompt.memory == 64 + 23
    with running_engine(model_path, **CHUNKED) as engine:
        expected = ask(engine, next_turn)
    assert_equal_but_near_ties([told], [expected])


def test_a_prefix_that_another_computes_right_now_is_shared_and_changes_no_answer(model_path: Path) -> None:
    prefix = range(1000, 1160)
    prompts = [[prefix, range(start, start + 16)] for start in (0, 200, 400, 600)]
    with running_engine(model_path, context_length=1024, **CHUNKED) as engine:
        tokens = licence_tokens(engine)
        told = ask_all(engine, [cut(tokens, ranges) for ranges in prompts])
    # The last few tokens may not have been worth waiting for: where a step ends depends on the machine's speed.
    assert all(160 - MIN_AWAITED < t.finished.prompt.memory <= 160 for t in told[1:])
    assert_equal_but_near_ties(told, ask_afresh(model_path, prompts, context_length=1024))


# --- drafts --------------------------------------------------------------------------------------------------------


def ask_for_copies(path: Path, *, max_draft_tokens: int, sampling: SamplingSettings) -> list[Told]:
    """Prompts that end with a beginning of themselves, so that the answer copies."""
    with running_engine(path, max_draft_tokens=max_draft_tokens, **CHUNKED) as engine:
        tokens = licence_tokens(engine)
        prompts = [[*tokens[start : start + 96], *tokens[start : start + 24]] for start in (300, 700, 1100)]
        return [ask(engine, prompt, num_tokens=48, sampling=sampling) for prompt in prompts]


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingSettings(temperature=0),
        SamplingSettings(temperature=0, repeat_penalty=1.02),
        # One random number a token, drafted or not: a seed tells the same.
        SamplingSettings(temperature=0.3, top_k=0, seed=7),
    ],
    ids=["greedy", "penalties", "seeded"],
)
def test_a_drafted_answer_equals_an_undrafted_one(model_path: Path, sampling: SamplingSettings) -> None:
    drafted = ask_for_copies(model_path, max_draft_tokens=16, sampling=sampling)
    undrafted = ask_for_copies(model_path, max_draft_tokens=0, sampling=sampling)
    assert sum(t.finished.num_accepted for t in drafted) >= 16
    assert [t.finished.num_drafted for t in undrafted] == [0, 0, 0]
    assert_equal_but_near_ties(drafted, undrafted)


def test_drafts_among_others_change_nobodys_answer(model_path: Path) -> None:
    """Wrong drafts leave nothing behind in the cells that all share."""
    ranges = [[range(start, start + 64), range(start, start + 16)] for start in (0, 300, 600)] + [[range(1200, 1264)]]
    told = []
    for max_draft_tokens in (16, 0):
        with running_engine(model_path, max_draft_tokens=max_draft_tokens, **CHUNKED) as engine:
            tokens = licence_tokens(engine)
            told.append(ask_all(engine, [cut(tokens, parts) for parts in ranges], num_tokens=32))
    assert_equal_but_near_ties(*told)


# --- company -------------------------------------------------------------------------------------------------------


def test_an_answer_among_seven_others_equals_the_one_alone(model_path: Path) -> None:
    prompts = [[range(start, start + 64)] for start in range(0, 1600, 200)]
    with running_engine(model_path, max_sequences=8, **CHUNKED) as engine:
        tokens = licence_tokens(engine)
        among_others = ask_all(engine, [cut(tokens, ranges) for ranges in prompts])
        widest = max(report.num_decode_rows for report in engine.reports)
    with running_engine(model_path, max_sequences=8, **CHUNKED) as engine:
        alone = ask_in_turn(engine, prompts)
    assert widest == 8
    assert_equal_but_near_ties(among_others, alone)


# --- beyond the window of 512 --------------------------------------------------------------------------------------

LONG = range(100, 1000)
LONG_PROMPTS = [
    [LONG],
    # The same again; then only the part of it whose window is long gone; then one that goes on from its end.
    [LONG],
    [range(100, 500), range(1200, 1230)],
    [LONG, range(1300, 1330)],
]


LONG_SIZES = {**CHUNKED, "context_length": 4096, "max_batch_tokens": 256, "micro_batch_tokens": 256}


@pytest.fixture(scope="module")
def long_answers(gemma3_path: Path) -> list[Told]:
    """Each told by an engine that has computed nothing before, and keeps the whole window."""
    told = []
    for ranges in LONG_PROMPTS:
        with running_engine(gemma3_path, **LONG_SIZES, **UNDRAFTED) as engine:
            told.append(ask(engine, cut(licence_tokens(engine), ranges)))
    return told


def test_prefixes_longer_than_the_window_are_reused_only_where_that_is_exact(
    gemma3_path: Path, long_answers: list[Told]
) -> None:
    with running_engine(gemma3_path, **LONG_SIZES) as engine:
        told = ask_in_turn(engine, LONG_PROMPTS)
    assert_equal_but_near_ties(told, long_answers)


def test_several_prompts_longer_than_the_window_at_once(gemma3_path: Path, long_answers: list[Told]) -> None:
    with running_engine(gemma3_path, **LONG_SIZES) as engine:
        tokens = licence_tokens(engine)
        told, again = (ask_all(engine, [cut(tokens, ranges) for ranges in LONG_PROMPTS]) for _ in range(2))
    assert_equal_but_near_ties(told, long_answers)
    assert_equal_but_near_ties(again, long_answers)
