from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from edge_agent.protocol import Finished, FinishReason, PromptTokens
from edge_agent.telemetry.outcome import Endpoint, Outcome
from edge_agent.telemetry.request_log import EndedRequest, RequestLog
from tests.telemetry.scripted_engine import times

FINISHED = Finished(
    id=1,
    reason=FinishReason.STOP,
    times=times(arrived=10.0, scheduled=10.015625, first_token=12.0, last_token=19.0),
    prompt=PromptTokens(computed=20, memory=8, disk=4),
    num_generated_tokens=51,
    text="secret answer",
)
ANSWERED = EndedRequest(
    id="chatcmpl-7",
    endpoint=Endpoint.CHAT,
    outcome=Outcome.OK,
    status=200,
    is_stream=True,
    arrived=10.0,
    ended=19.5,
    finished=FINISHED,
)


def only_record(caplog: pytest.LogCaptureFixture, request: EndedRequest) -> logging.LogRecord:
    with caplog.at_level(logging.INFO, logger="edge_agent.request"):
        RequestLog().write(request)
    (record,) = caplog.records
    return record


def fields_of(caplog: pytest.LogCaptureFixture, request: EndedRequest) -> dict[str, Any]:
    fields: dict[str, Any] = vars(only_record(caplog, request))["fields"]
    return fields


def test_a_finished_request_is_one_line_with_its_times_and_sizes(caplog: pytest.LogCaptureFixture) -> None:
    record = only_record(caplog, ANSWERED)
    assert (record.name, record.levelname, record.getMessage()) == ("edge_agent.request", "INFO", "request finished")
    assert vars(record)["fields"] == {
        "id": "chatcmpl-7",
        "endpoint": "chat",
        "outcome": "ok",
        "finish_reason": "stop",
        "status": 200,
        "prompt_tokens": 32,
        "cached_tokens": 12,
        "generated_tokens": 51,
        # 10.015625 - 10 to four digits.
        "queue_seconds": 0.01562,
        "ttft_seconds": 2.0,
        "duration_seconds": 9.0,
        # 50 tokens after the first in 7 s: 7.142857…
        "tokens_per_second": 7.143,
        "stream": True,
    }


def test_a_refused_request_has_no_fields_of_a_sequence(caplog: pytest.LogCaptureFixture) -> None:
    refused = EndedRequest(
        id="cmpl-1",
        endpoint=Endpoint.COMPLETIONS,
        outcome=Outcome.REJECTED,
        status=429,
        is_stream=False,
        arrived=10.0,
        ended=10.25,
    )
    assert fields_of(caplog, refused) == {
        "id": "cmpl-1",
        "endpoint": "completions",
        "outcome": "rejected",
        "status": 429,
        "duration_seconds": 0.25,
        "stream": False,
    }


def test_a_request_cancelled_before_its_first_token_lasts_until_its_end(caplog: pytest.LogCaptureFixture) -> None:
    finished = msgspec.structs.replace(
        FINISHED,
        reason=FinishReason.CANCELLED,
        times=times(arrived=10.0, scheduled=11.0),
        num_generated_tokens=0,
    )
    fields = fields_of(caplog, msgspec.structs.replace(ANSWERED, outcome=Outcome.CANCELLED, finished=finished))
    assert (fields["finish_reason"], fields["queue_seconds"], fields["duration_seconds"]) == ("cancelled", 1.0, 9.5)
    assert "ttft_seconds" not in fields
    assert "tokens_per_second" not in fields


def test_one_token_has_no_speed(caplog: pytest.LogCaptureFixture) -> None:
    finished = msgspec.structs.replace(
        FINISHED, times=times(arrived=10.0, scheduled=10.0, first_token=12.0, last_token=12.0), num_generated_tokens=1
    )
    assert "tokens_per_second" not in fields_of(caplog, msgspec.structs.replace(ANSWERED, finished=finished))


def test_the_answers_text_is_nowhere_in_the_record(caplog: pytest.LogCaptureFixture) -> None:
    assert "secret" not in str(vars(only_record(caplog, ANSWERED)))
