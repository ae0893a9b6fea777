from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_agent.benchmark.measured_engine import measured_engine
from edge_agent.benchmark.speeds import MeasurementError
from edge_agent.errors import EngineLostError
from edge_agent.protocol import Accepted, LoadFailed, TokenPrompt
from tests.engine_client.conftest import child_pids
from tests.engine_client.scripted_engine import (
    READY,
    AnyInstruction,
    Await,
    Exit,
    Hang,
    Reply,
    Say,
    Serve,
    TickDeaf,
    WriteStderr,
    count_lives,
    make_settings,
    read_journal,
    write_script,
)

PROMPT = TokenPrompt([1, 2, 3])


def script(folder: Path, life: list[AnyInstruction]) -> tuple[str, ...]:
    return write_script(folder / "script", life)


async def test_answers_come_with_every_step_that_made_them(tmp_path: Path) -> None:
    command = script(tmp_path, [READY, Serve(is_endless=True)])
    async with measured_engine(make_settings(max_sequences=2), environ=os.environ, command=command) as engine:
        answers = await engine.answer([PROMPT, PROMPT], num_tokens=5)
        assert [finished.num_generated_tokens for finished in answers.finishes] == [5, 5]
        assert sum(len(s.tokens) for report in answers.reports for s in report.sequences) == 10
        again = await engine.answer([PROMPT], num_tokens=3)
        assert len(again.reports) == 3
        assert engine.peak_usage.private_bytes == 100_000
    assert child_pids() == set()


async def test_the_engine_is_told_to_draft_and_to_keep_nothing(tmp_path: Path) -> None:
    command = script(tmp_path, [READY, Serve(is_endless=True)])
    settings = make_settings(max_draft_tokens=8, max_saved_prefix_bytes=1000, prefix_folder="/prefixes")
    async with measured_engine(settings, environ=os.environ, command=command) as engine:
        await engine.answer([PROMPT], num_tokens=2)
    journal = read_journal(tmp_path / "script")
    told = journal[0]["settings"]
    assert (told["max_draft_tokens"], told["max_saved_prefix_bytes"], told["prefix_folder"]) == (0, 0, "")
    request = next(command for command in journal if command["type"] == "submit")
    assert (request["ignore_eos"], request["sampling"]["temperature"]) == (True, 0)


@pytest.mark.parametrize(
    ("life", "reason"),
    [
        ([Say(LoadFailed("no such file"))], "no such file"),
        ([WriteStderr(b"out of memory\n"), Exit(1)], "out of memory"),
    ],
    ids=["refused", "died"],
)
async def test_a_model_that_cannot_be_loaded_is_an_error_at_once(
    tmp_path: Path, life: list[AnyInstruction], reason: str
) -> None:
    with pytest.raises(MeasurementError, match=reason):
        async with measured_engine(make_settings(), environ=os.environ, command=script(tmp_path, life)):
            pytest.fail("nothing can be measured")
    assert count_lives(tmp_path / "script") == 1
    assert child_pids() == set()


async def test_an_engine_that_dies_in_an_answer_loses_it(tmp_path: Path) -> None:
    life: list[AnyInstruction] = [READY, Await("submit"), Reply(Accepted(1, num_prompt_tokens=3)), Exit(1)]
    async with measured_engine(make_settings(), environ=os.environ, command=script(tmp_path, life)) as engine:
        with pytest.raises(EngineLostError):
            await engine.answer([PROMPT], num_tokens=2)


async def test_an_answer_that_ends_early_is_no_measurement(tmp_path: Path) -> None:
    command = script(tmp_path, [READY, Serve(texts=("one", "two"))])
    async with measured_engine(make_settings(), environ=os.environ, command=command) as engine:
        with pytest.raises(MeasurementError, match="ended early"):
            await engine.answer([PROMPT], num_tokens=5)


@pytest.mark.parametrize("deaf", [Hang(), TickDeaf()], ids=["hangs", "hears nothing"])
async def test_an_engine_that_does_not_obey_is_gone_after_the_block(tmp_path: Path, deaf: AnyInstruction) -> None:
    async with measured_engine(make_settings(), environ=os.environ, command=script(tmp_path, [READY, deaf])):
        assert len(child_pids()) == 1
    assert child_pids() == set()
