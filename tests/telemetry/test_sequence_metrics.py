from __future__ import annotations

from edge_agent.protocol import Finished, FinishReason, PromptTokens, SequenceReport
from edge_agent.telemetry.telemetry import Telemetry
from tests.telemetry.scripted_engine import count_and_sum, scrape, step, telemetry_of, times

HISTOGRAMS_OF_A_SEQUENCE = (
    "request_queue_seconds",
    "request_prefill_seconds",
    "time_to_first_token_seconds",
    "inter_token_latency_seconds",
    "request_decode_seconds",
    "request_duration_seconds",
    "time_per_output_token_seconds",
    "request_prompt_tokens",
    "request_generated_tokens",
)


def answer_of_four_tokens(telemetry: Telemetry) -> None:
    """Arrived 10, scheduled 10.5, first token 12; one token at 12.25; two tokens of one step at 13.25; the end."""
    first = times(arrived=10.0, scheduled=10.5, first_token=12.0)
    reports = [
        step(
            SequenceReport(id=1, prompt=PromptTokens(computed=20, memory=8, disk=4)),
            started=10.5,
            ended=11.5,
            num_prefill_rows=20,
        ),
        step(
            SequenceReport(id=1, prompt=PromptTokens(computed=5), tokens=[7], first_token=first),
            started=11.5,
            ended=12.0,
            num_prefill_rows=5,
        ),
        step(SequenceReport(id=1, tokens=[8], previous_token=12.0), started=12.0, ended=12.25, num_decode_rows=1),
        step(
            SequenceReport(id=1, tokens=[9, 10], previous_token=12.25, num_drafted=3, num_accepted=1),
            started=12.75,
            ended=13.25,
            num_decode_rows=4,
        ),
    ]
    for report in reports:
        telemetry.engine.report(report)
    telemetry.engine.finished(
        Finished(
            id=1,
            reason=FinishReason.STOP,
            times=times(arrived=10.0, scheduled=10.5, first_token=12.0, last_token=13.25),
            prompt=PromptTokens(computed=25, memory=8, disk=4),
            num_generated_tokens=4,
        )
    )


def test_durations_are_differences_of_the_engines_moments() -> None:
    telemetry = telemetry_of()
    answer_of_four_tokens(telemetry)
    shown = scrape(telemetry)
    # Arrived 10.0, scheduled 10.5, first token 12.0, last token 13.25.
    assert count_and_sum(shown, "request_queue_seconds") == (1, 0.5)
    assert count_and_sum(shown, "request_prefill_seconds") == (1, 1.5)
    assert count_and_sum(shown, "time_to_first_token_seconds") == (1, 2.0)
    assert count_and_sum(shown, "request_decode_seconds") == (1, 1.25)
    assert count_and_sum(shown, "request_duration_seconds") == (1, 3.25)


def test_tokens_accepted_together_share_the_gap_evenly() -> None:
    telemetry = telemetry_of()
    answer_of_four_tokens(telemetry)
    shown = scrape(telemetry)
    # Gaps 0.25, and 1.0 for two tokens: 0.5 each. Three gaps of four tokens, 1.25 s from first to last.
    assert count_and_sum(shown, "inter_token_latency_seconds") == (3, 1.25)
    assert shown['inter_token_latency_seconds_bucket{le="0.15",model="tiny"}'] == 0
    assert shown['inter_token_latency_seconds_bucket{le="0.25",model="tiny"}'] == 1
    assert shown['inter_token_latency_seconds_bucket{le="0.35",model="tiny"}'] == 1
    assert shown['inter_token_latency_seconds_bucket{le="0.5",model="tiny"}'] == 3


def test_tokens_beside_the_first_one_have_no_gap() -> None:
    telemetry = telemetry_of()
    first = times(arrived=1.0, scheduled=1.0, first_token=2.0)
    telemetry.engine.report(
        step(SequenceReport(id=1, tokens=[5, 6, 7], first_token=first), started=1.0, ended=2.0, num_prefill_rows=9)
    )
    # Three tokens at 2.0: the first is the first token's time, the other two came 0 s after it.
    assert count_and_sum(scrape(telemetry), "inter_token_latency_seconds") == (2, 0.0)
    assert count_and_sum(scrape(telemetry), "time_to_first_token_seconds") == (1, 1.0)


def test_two_sequences_of_one_step_have_their_own_gaps() -> None:
    telemetry = telemetry_of()
    telemetry.engine.report(
        step(
            SequenceReport(id=1, tokens=[5], previous_token=4.0),
            SequenceReport(id=2, tokens=[6], previous_token=2.5),
            started=4.5,
            ended=5.0,
            num_decode_rows=2,
        )
    )
    # 5.0 - 4.0 and 5.0 - 2.5.
    assert count_and_sum(scrape(telemetry), "inter_token_latency_seconds") == (2, 3.5)


def test_time_per_output_token_leaves_out_the_first_token() -> None:
    telemetry = telemetry_of()
    telemetry.engine.finished(
        Finished(
            id=1,
            reason=FinishReason.LENGTH,
            times=times(arrived=0.0, scheduled=0.0, first_token=1.0, last_token=3.0),
            prompt=PromptTokens(computed=3),
            num_generated_tokens=5,
        )
    )
    # 2 s for the four tokens after the first.
    assert count_and_sum(scrape(telemetry), "time_per_output_token_seconds") == (1, 0.5)


def test_an_answer_of_one_token_has_no_time_per_output_token() -> None:
    telemetry = telemetry_of()
    telemetry.engine.finished(
        Finished(
            id=1,
            reason=FinishReason.LENGTH,
            times=times(arrived=0.0, scheduled=0.0, first_token=1.0, last_token=1.0),
            prompt=PromptTokens(computed=3),
            num_generated_tokens=1,
        )
    )
    shown = scrape(telemetry)
    assert count_and_sum(shown, "time_per_output_token_seconds") == (0, 0.0)
    assert count_and_sum(shown, "request_decode_seconds") == (1, 0.0)
    assert count_and_sum(shown, "request_duration_seconds") == (1, 1.0)


def test_sizes_count_cached_prompt_tokens_too() -> None:
    telemetry = telemetry_of()
    answer_of_four_tokens(telemetry)
    shown = scrape(telemetry)
    # 25 computed, 8 from memory, 4 from disk.
    assert count_and_sum(shown, "request_prompt_tokens") == (1, 37)
    assert count_and_sum(shown, "request_generated_tokens") == (1, 4)


def test_prompt_tokens_are_counted_by_source_as_steps_report_them() -> None:
    telemetry = telemetry_of()
    answer_of_four_tokens(telemetry)
    shown = scrape(telemetry)
    assert shown['prompt_tokens_total{model="tiny",source="computed"}'] == 25
    assert shown['prompt_tokens_total{model="tiny",source="memory"}'] == 8
    assert shown['prompt_tokens_total{model="tiny",source="disk"}'] == 4


def test_drafted_tokens_are_accepted_or_rejected() -> None:
    telemetry = telemetry_of()
    answer_of_four_tokens(telemetry)
    shown = scrape(telemetry)
    # Three drafted, one accepted.
    assert shown['draft_tokens_total{model="tiny",result="accepted"}'] == 1
    assert shown['draft_tokens_total{model="tiny",result="rejected"}'] == 2


def test_each_finish_reason_has_its_own_count() -> None:
    telemetry = telemetry_of()
    for reason in (FinishReason.STOP, FinishReason.STOP, FinishReason.TOOL_CALLS, FinishReason.CANCELLED):
        telemetry.engine.finished(
            Finished(id=1, reason=reason, times=times(arrived=1.0), prompt=PromptTokens(), num_generated_tokens=0)
        )
    shown = scrape(telemetry)
    finished = {
        reason: shown[f'requests_finished_total{{finish_reason="{reason}",model="tiny"}}']
        for reason in ("stop", "length", "tool_calls", "cancelled", "error")
    }
    assert finished == {"stop": 2, "length": 0, "tool_calls": 1, "cancelled": 1, "error": 0}


def test_a_sequence_cancelled_before_its_first_token_is_in_no_histogram() -> None:
    telemetry = telemetry_of()
    telemetry.engine.finished(
        Finished(
            id=1,
            reason=FinishReason.CANCELLED,
            times=times(arrived=1.0, scheduled=2.0),
            prompt=PromptTokens(computed=40),
            num_generated_tokens=0,
        )
    )
    shown = scrape(telemetry)
    assert shown['requests_finished_total{finish_reason="cancelled",model="tiny"}'] == 1
    assert [count_and_sum(shown, name) for name in HISTOGRAMS_OF_A_SEQUENCE] == [(0, 0.0)] * 9


def test_sequences_lost_with_the_engine_are_errors_without_durations() -> None:
    telemetry = telemetry_of()
    telemetry.engine.sequences_lost(3)
    shown = scrape(telemetry)
    assert shown['requests_finished_total{finish_reason="error",model="tiny"}'] == 3
    assert count_and_sum(shown, "request_duration_seconds") == (0, 0.0)
