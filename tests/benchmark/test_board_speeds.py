"""The whole battery in front of an engine without a model: what is asked of it, and what of its reports counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_agent.benchmark.board_speeds import BoardMeasurement, median_speeds, probe, time_to_first_token
from edge_agent.benchmark.measured_engine import Answers, measured_engine
from edge_agent.benchmark.speeds import MeasurementError
from edge_agent.benchmark.workload import Prompts, Sizes
from edge_agent.protocol import Finished, FinishReason, PromptTokens, SequenceTimes
from tests.engine_client.scripted_engine import READY, Serve, make_settings, read_journal, write_script
from tests.tuning.measured import Scenario, write_scenario


async def test_a_board_is_asked_what_its_speed_allows(tmp_path: Path) -> None:
    # 100 tokens of a prompt and 10 of an answer a second: in 24 seconds each of three rounds has one.
    command = write_scenario(tmp_path, Scenario())
    said: list[str] = []
    async with measured_engine(make_settings(context_length=2048), environ=os.environ, command=command) as engine:
        board = await BoardMeasurement(engine, seconds=24.0, say=said.append).measure(decode_levels=[1])
    assert said == [
        "warming up",
        "prefill: 100 tokens",
        "time to first token: a prompt of 128 tokens",
        "decode: 1 sequence",
    ]
    assert board.prefill_tokens_per_second == pytest.approx(100.0)
    assert [decode.num_sequences for decode in board.decode] == [1]
    assert board.decode[0].tokens_per_second == pytest.approx(10.0)
    assert board.num_first_token_prompt_tokens == 128


async def test_sequences_are_measured_together(tmp_path: Path) -> None:
    script = tmp_path / "script"
    command = write_script(script, [READY, Serve(is_endless=True)])
    async with measured_engine(make_settings(max_sequences=2), environ=os.environ, command=command) as engine:
        board = await BoardMeasurement(engine, seconds=1.0, say=lambda _: None).measure(decode_levels=[1, 2])
    assert [decode.num_sequences for decode in board.decode] == [1, 2]
    assert all(decode.tokens_per_second > 0 for decode in board.decode)
    prompts = [tuple(c["prompt"]["tokens"]) for c in read_journal(script) if c["type"] == "submit"]
    # 2 to warm up, 4 of prefill, 3 of the first token (or 1 on a slow machine), 3 of one sequence, 6 of two.
    assert len(prompts) in {16, 18}
    assert len({prompt[0] for prompt in prompts}) == len(prompts)


async def test_the_first_round_is_for_warming_up_and_the_median_of_the_others_counts(tmp_path: Path) -> None:
    command = write_scenario(tmp_path, Scenario(by_question=[1.0, 1.0, 9.0, 1.0, 2.0, 5.0]))
    async with measured_engine(make_settings(context_length=1024), environ=os.environ, command=command) as engine:
        prompts = Prompts(engine.model.vocabulary_size)
        rough = await probe(engine, prompts)
        speeds = await median_speeds(engine, prompts, Sizes(num_prefill_tokens=64, num_decode_tokens=8))
    assert (rough.prefill, rough.decode) == pytest.approx((100.0, 10.0))
    assert (speeds.prefill, speeds.decode) == pytest.approx((50.0, 5.0))


def answers(first_token: float | None) -> Answers:
    times = SequenceTimes(arrived=10.0, queued=10.5, first_token=first_token)
    return Answers([], [Finished(1, FinishReason.LENGTH, times, PromptTokens(computed=4), 1)])


def test_the_time_to_the_first_token_begins_with_the_requests_arrival() -> None:
    assert time_to_first_token(answers(12.5)) == 2.5


def test_an_answer_without_a_token_has_no_such_time() -> None:
    with pytest.raises(MeasurementError, match="no first token"):
        time_to_first_token(answers(None))
