"""Usage and timings, worked out by hand."""

from __future__ import annotations

import msgspec

from edge_agent.api.usage import Timings, timings_of, usage_of
from edge_agent.protocol import Finished, FinishReason, PromptTokens, SequenceTimes


def ended(num_tokens: int, times: SequenceTimes, *, num_drafted: int = 0, num_accepted: int = 0) -> Finished:
    return Finished(
        id=1,
        reason=FinishReason.STOP,
        times=times,
        prompt=PromptTokens(computed=4, memory=3, disk=2),
        num_generated_tokens=num_tokens,
        num_drafted=num_drafted,
        num_accepted=num_accepted,
    )


TIMES = SequenceTimes(arrived=1.0, queued=2.0, scheduled=10.0, first_token=10.5, last_token=12.5, finished=13.0)


def test_decode_rate_leaves_out_the_first_token() -> None:
    assert timings_of(ended(5, TIMES)) == Timings(
        cache_n=5,
        prompt_n=4,
        prompt_ms=500.0,
        prompt_per_token_ms=125.0,
        prompt_per_second=8.0,
        predicted_n=5,
        predicted_ms=2000.0,
        predicted_per_token_ms=500.0,
        predicted_per_second=2.0,
    )


def test_one_token_has_no_rate() -> None:
    times = SequenceTimes(arrived=1.0, queued=2.0, scheduled=10.0, first_token=10.5, last_token=10.5)
    timings = timings_of(ended(1, times))
    assert (timings.predicted_n, timings.predicted_ms, timings.predicted_per_second) == (1, 0.0, 0.0)


def test_sequence_that_never_ran_has_zeros() -> None:
    timings = timings_of(ended(0, SequenceTimes(arrived=1.0, queued=2.0)))
    assert (timings.prompt_ms, timings.prompt_per_second, timings.predicted_ms) == (0.0, 0.0, 0.0)


def test_drafts_show_only_when_there_were_some() -> None:
    assert b"draft_n" not in msgspec.json.encode(timings_of(ended(5, TIMES)))
    drafted = msgspec.json.encode(timings_of(ended(5, TIMES, num_drafted=3, num_accepted=2)))
    assert drafted.endswith(b'"draft_n":3,"draft_n_accepted":2}')


def test_cached_tokens_are_those_not_computed_again() -> None:
    usage = usage_of(ended(5, TIMES), num_prompt_tokens=9)
    assert msgspec.json.encode(usage) == (
        b'{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":5}}'
    )
