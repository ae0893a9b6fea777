"""The client in front of the engine that is shipped, with the real model."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from edge_agent.engine_client.client import EngineClient
from edge_agent.engine_client.generation import Generation
from edge_agent.engine_client.listener import EndCause, EngineState
from edge_agent.engine_client.request import GenerationRequest
from edge_agent.errors import ContextLengthError, EngineLostError
from edge_agent.protocol import Finished, FinishReason, SamplingSettings, SequenceReport, TextPrompt
from tests.engine_client.conftest import child_pids
from tests.engine_client.recording_listener import RecordingListener
from tests.engine_client.scripted_engine import make_settings


async def test_the_shipped_engine_answers_refuses_dies_and_answers_again(smollm2_path: Path) -> None:
    listener = RecordingListener()
    settings = make_settings(model_path=str(smollm2_path), max_step_seconds=5.0)
    client = EngineClient(settings, listener=listener, queue_size=2)
    await client.start()
    try:
        await client.wait_settled()
        assert (client.state, client.load_error) == (EngineState.READY, None)
        assert await answer(client, "The sky is") == FinishReason.LENGTH
        tokenized = await client.tokenize("The sky", add_special=False, parse_special=False)
        assert b"".join(tokenized.pieces) == b"The sky"
        assert await client.detokenize(tokenized.tokens) == "The sky"
        with pytest.raises(ContextLengthError) as raised:
            await client.submit(greedy("word " * 400))
        assert raised.value.context_length == 256
        (pid,) = child_pids()
        generation = await client.submit(greedy("Once upon a time", max_tokens=200))
        await anext(generation)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(EngineLostError):
            await drain(generation)
        await listener.wait_until(lambda: len(listener.models) == 2)
        assert await answer(client, "The sky is") == FinishReason.LENGTH
        assert listener.causes == [EndCause.CRASH]
    finally:
        await client.stop()
    assert child_pids() == set()


def greedy(text: str, *, max_tokens: int = 4) -> GenerationRequest:
    sampling = SamplingSettings(temperature=0)
    return GenerationRequest(
        prompt=TextPrompt(text), arrived=1.0, sampling=sampling, max_tokens=max_tokens, ignore_eos=True
    )


async def drain(generation: Generation) -> list[SequenceReport | Finished]:
    return [item async for item in generation]


async def answer(client: EngineClient, text: str) -> FinishReason:
    items = await drain(await client.submit(greedy(text)))
    assert isinstance(items[-1], Finished)
    return items[-1].reason
