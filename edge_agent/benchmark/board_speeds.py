"""The battery of measurements: which rounds are run on an engine, and what of them counts. Runs on the event loop.

Short rounds and their medians: one that falls into another program's work changes nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from msgspec import Struct

from edge_agent.benchmark.measured_engine import Answers, MeasuredEngine
from edge_agent.benchmark.speeds import MeasurementError, Speeds, decode_speed, prefill_speed
from edge_agent.benchmark.workload import Prompts, Sizes, sizes_for

NUM_ROUNDS = 3
# The first answer reads the weights in and is not looked at; four tokens hold three steps that only decode.
WARM_UP_TOKENS = 32
PROBE_TOKENS = 64
PROBE_ANSWER_TOKENS = 4
# The question that people wait for: a few sentences.
FIRST_TOKEN_PROMPT_TOKENS = 128
# An answer needs a prompt; a short one, since eight of them come before what is measured.
DECODE_PROMPT_TOKENS = 4


class DecodeSpeed(Struct, frozen=True, kw_only=True):
    """Tokens a second of so many sequences together."""

    num_sequences: int
    tokens_per_second: float


class BoardSpeeds(Struct, frozen=True, kw_only=True):
    """What an engine does on this board."""

    num_prefill_tokens: int
    prefill_tokens_per_second: float
    decode: tuple[DecodeSpeed, ...]
    num_first_token_prompt_tokens: int
    time_to_first_token_seconds: float


class BoardMeasurement:
    """Measures one engine. Raises EngineError and MeasurementError; tells `say` what it is at."""

    def __init__(self, engine: MeasuredEngine, *, seconds: float, say: Callable[[str], None]) -> None:
        self._engine = engine
        self._prompts = Prompts(engine.model.vocabulary_size)
        # Six measurements, the loading and the warm-up share the time.
        self._seconds = seconds / 8
        self._say = say

    async def measure(self, *, decode_levels: Sequence[int]) -> BoardSpeeds:
        """Everything, in about the time given; less of it on a board that is slow."""
        self._say("warming up")
        context_length = self._engine.model.context_length
        speeds = await probe(self._engine, self._prompts)
        sizes = sizes_for(speeds, seconds=self._seconds / NUM_ROUNDS, context_length=context_length)
        self._say(f"prefill: {sizes.num_prefill_tokens} tokens")
        prefill = await self._prefill(sizes)
        num_tokens = min(FIRST_TOKEN_PROMPT_TOKENS, context_length // 2)
        self._say(f"time to first token: a prompt of {num_tokens} tokens")
        first_token = await self._first_token(num_tokens, expected_seconds=num_tokens / prefill)
        return BoardSpeeds(
            num_prefill_tokens=sizes.num_prefill_tokens,
            prefill_tokens_per_second=prefill,
            decode=tuple([await self._decode(level, sizes) for level in decode_levels]),
            num_first_token_prompt_tokens=num_tokens,
            time_to_first_token_seconds=first_token,
        )

    async def _prefill(self, sizes: Sizes) -> float:
        # One more, not counted: the engine learns on it how many rows its steps may have.
        rounds = [await self._answer(1, sizes.num_prefill_tokens, num_tokens=1) for _ in range(NUM_ROUNDS + 1)]
        return statistics.median(prefill_speed(answers.reports) for answers in rounds[1:])

    async def _first_token(self, num_prompt_tokens: int, *, expected_seconds: float) -> float:
        num_rounds = NUM_ROUNDS if NUM_ROUNDS * expected_seconds <= self._seconds else 1
        rounds = [await self._answer(1, num_prompt_tokens, num_tokens=1) for _ in range(num_rounds)]
        return statistics.median(time_to_first_token(answers) for answers in rounds)

    async def _decode(self, num_sequences: int, sizes: Sizes) -> DecodeSpeed:
        self._say(f"decode: {num_sequences} {'sequence' if num_sequences == 1 else 'sequences'}")
        rounds = [
            await self._answer(num_sequences, DECODE_PROMPT_TOKENS, num_tokens=sizes.num_decode_tokens)
            for _ in range(NUM_ROUNDS)
        ]
        speed = statistics.median(decode_speed(answers.reports, num_sequences=num_sequences) for answers in rounds)
        return DecodeSpeed(num_sequences=num_sequences, tokens_per_second=speed)

    async def _answer(self, num_sequences: int, num_prompt_tokens: int, *, num_tokens: int) -> Answers:
        prompts = [self._prompts.make(num_prompt_tokens) for _ in range(num_sequences)]
        return await self._engine.answer(prompts, num_tokens=num_tokens)


async def probe(engine: MeasuredEngine, prompts: Prompts) -> Speeds:
    """Rough speeds, after the engine has warmed up."""
    await engine.answer([prompts.make(WARM_UP_TOKENS)], num_tokens=PROBE_ANSWER_TOKENS)
    return speeds_of(await engine.answer([prompts.make(PROBE_TOKENS)], num_tokens=PROBE_ANSWER_TOKENS))


async def median_speeds(engine: MeasuredEngine, prompts: Prompts, sizes: Sizes) -> Speeds:
    """Prefill and decode of one user alone, whose answer stands behind a whole prompt."""
    rounds = []
    for _ in range(NUM_ROUNDS + 1):
        prompt = prompts.make(sizes.num_prefill_tokens)
        rounds.append(speeds_of(await engine.answer([prompt], num_tokens=sizes.num_decode_tokens)))
    # On the first one the engine learns how many rows its steps may have.
    counted = rounds[1:]
    return Speeds(
        prefill=statistics.median(speeds.prefill for speeds in counted),
        decode=statistics.median(speeds.decode for speeds in counted),
    )


def speeds_of(answers: Answers) -> Speeds:
    """Both speeds of one question. Raises MeasurementError where a step of either kind is missing."""
    return Speeds(prefill=prefill_speed(answers.reports), decode=decode_speed(answers.reports, num_sequences=1))


def time_to_first_token(answers: Answers) -> float:
    """Seconds from the request's arrival to its first token, of the first answer. Raises MeasurementError."""
    times = answers.finishes[0].times
    if times.first_token is None:
        raise MeasurementError("an answer had no first token: measure again")
    return times.first_token - times.arrived
