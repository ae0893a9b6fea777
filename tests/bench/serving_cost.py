"""Measures what serving and telemetry cost beside llama.cpp: CPU time a token, by a step of the 4B shape.

Two parts. The agent's process: its CPU time while the 4B shape answers, telemetry of all those seconds included. The
engine outside llama_decode: its CPU time less that of its steps. With the 4B shape that is a small difference of two
large numbers, so it is taken of a model whose step is next to nothing but whose vocabulary is as large, with one
thread: then a step's time is its CPU time.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from .comparison import Figure, Row
from .contenders import Work, edge_agent
from .goals import STEP
from .load import BenchError, measure
from .processes import processes_of, read_sum
from .servers import running
from .suites import WITHOUT_DRAFTS
from .workload import Question, User, users_of

TITLE = "serving and telemetry"
STEP_SECONDS = "edge_agent_step_seconds_sum"
DECODE_SECONDS, DECODE_STEPS = "edge_agent_decode_seconds_total", "edge_agent_decode_steps_total"
# The kernel counts CPU time in hundredths of a second: enough tokens that one of them is a few percent.
AGENT_TOKENS, ENGINE_TOKENS = 128, 1024


@dataclass(frozen=True, slots=True)
class Use:
    """What one answer took. CPU seconds of agent and engine; seconds in steps, and of one that decodes."""

    num_tokens: int
    agent_seconds: float
    engine_seconds: float
    step_seconds: float
    decode_step_seconds: float

    @property
    def engine_beside_steps(self) -> float:
        """Raises BenchError when steps took longer than the engine computed: others had its processor then."""
        if self.engine_seconds < self.step_seconds:
            raise BenchError(
                f"steps took {self.step_seconds:.2f} s, but the engine computed for {self.engine_seconds:.2f} s only: "
                "other processes compute too; measure on a quiet machine"
            )
        return self.engine_seconds - self.step_seconds


def measure_cost(four_b: Work, vocabulary: Path, *, say: Callable[[str], None]) -> list[Row]:
    """Our CPU time a token by a step's: the agent's, the engine's, both. Raises BenchError."""
    of_4b = _use(four_b, AGENT_TOKENS)
    say(f"{TITLE}: agent's process")
    of_vocabulary = _use(replace(four_b, model=vocabulary, num_threads=1), ENGINE_TOKENS)
    say(f"{TITLE}: engine beside its steps")
    return cost_rows(of_4b, of_vocabulary)


def cost_rows(of_4b: Use, of_vocabulary: Use) -> list[Row]:
    """The agent's part of the one, the engine's of the other, in milliseconds a token, by a step that decodes."""
    agent = of_4b.agent_seconds / of_4b.num_tokens
    engine = of_vocabulary.engine_beside_steps / of_vocabulary.num_tokens
    parts = {"the agent's process": agent, "the engine beside its steps": engine, TITLE: agent + engine}
    step_milliseconds = of_4b.decode_step_seconds * 1000
    return [
        Row(work=work, figure=Figure.COST, against=STEP, theirs=step_milliseconds, ours=seconds * 1000)
        for work, seconds in parts.items()
    ]


def _use(work: Work, num_tokens: int) -> Use:
    with tempfile.TemporaryDirectory() as folder, running(edge_agent(Path(folder), work, WITHOUT_DRAFTS)) as server:
        asyncio.run(measure(server.url, users_of("distinct1", salt="warm-up")))
        processes = processes_of(server.pid)
        names = (STEP_SECONDS, DECODE_SECONDS, DECODE_STEPS)
        before = (*processes.cpu_seconds(), *(read_sum(server.url, name) for name in names))
        asyncio.run(measure(server.url, [_one_user(num_tokens)]))
        after = (*processes.cpu_seconds(), *(read_sum(server.url, name) for name in names))
    agent, engine, steps, decoding, num_steps = (late - early for early, late in zip(before, after, strict=True))
    return Use(num_tokens, agent, engine, steps, decoding / num_steps)


def _one_user(num_tokens: int) -> User:
    return User([Question([{"role": "user", "content": "Tell me about a lantern."}], num_tokens)])
