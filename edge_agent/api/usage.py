"""The two accounts that close an answer: OpenAI's `usage` in tokens and llama-server's `timings`.

Pure: computed from the engine's `Finished`, with every duration one subtraction of two of its named moments.
"""

from __future__ import annotations

import msgspec

from edge_agent.protocol import Finished

MILLISECONDS = 1000.0


class PromptTokensDetails(msgspec.Struct, frozen=True):
    """The part of the prompt that was not computed again."""

    cached_tokens: int


class Usage(msgspec.Struct, frozen=True):
    """Tokens in and out, as OpenAI counts them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class Timings(msgspec.Struct, frozen=True, omit_defaults=True):
    """llama-server's numbers under its names; the decode rate leaves out the first token, which prefill produced."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float
    # Present only when tokens were drafted.
    draft_n: int = 0
    draft_n_accepted: int = 0


def usage_of(finished: Finished, *, num_prompt_tokens: int) -> Usage:
    """Tokens of the answer; `num_prompt_tokens` is what the engine accepted."""
    return Usage(
        prompt_tokens=num_prompt_tokens,
        completion_tokens=finished.num_generated_tokens,
        total_tokens=num_prompt_tokens + finished.num_generated_tokens,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=_num_cached(finished)),
    )


def timings_of(finished: Finished) -> Timings:
    """prompt: first scheduled to first token. predicted: first token to last token, so n - 1 tokens long."""
    times = finished.times
    prompt_ms = _milliseconds(times.scheduled, times.first_token)
    predicted_ms = _milliseconds(times.first_token, times.last_token)
    num_after_first = max(0, finished.num_generated_tokens - 1)
    return Timings(
        cache_n=_num_cached(finished),
        prompt_n=finished.prompt.computed,
        prompt_ms=prompt_ms,
        prompt_per_token_ms=_ratio(prompt_ms, finished.prompt.computed),
        prompt_per_second=_ratio(finished.prompt.computed * MILLISECONDS, prompt_ms),
        predicted_n=finished.num_generated_tokens,
        predicted_ms=predicted_ms,
        predicted_per_token_ms=_ratio(predicted_ms, num_after_first),
        predicted_per_second=_ratio(num_after_first * MILLISECONDS, predicted_ms),
        draft_n=finished.num_drafted,
        draft_n_accepted=finished.num_accepted,
    )


def _num_cached(finished: Finished) -> int:
    return finished.prompt.memory + finished.prompt.disk


def _milliseconds(start: float | None, end: float | None) -> float:
    """Rounded to a microsecond, below which the clock says nothing; 0 when a moment was not reached."""
    if start is None or end is None:
        return 0.0
    return round((end - start) * MILLISECONDS, 3)


def _ratio(numerator: float, denominator: float) -> float:
    return round(numerator / denominator, 3) if denominator > 0 else 0.0
