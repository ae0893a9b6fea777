from __future__ import annotations

import pytest

from edge_agent.telemetry.remote_write.answer import Answer, Verdict, retry_after_seconds, shown_text, verdict


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, Verdict.ACCEPTED),
        (204, Verdict.ACCEPTED),
        (302, Verdict.AGAIN),
        (308, Verdict.AGAIN),
        (400, Verdict.REJECTED),
        (401, Verdict.REJECTED),
        (404, Verdict.REJECTED),
        (408, Verdict.AGAIN),
        (413, Verdict.REJECTED),
        (429, Verdict.AGAIN),
        (500, Verdict.AGAIN),
        (503, Verdict.AGAIN),
        (599, Verdict.AGAIN),
    ],
)
def test_a_status_decides_what_becomes_of_a_request(status: int, expected: Verdict) -> None:
    assert verdict(Answer(status), num_server_errors=1) is expected


def test_server_errors_without_end_are_the_samples_fault() -> None:
    assert verdict(Answer(500), num_server_errors=9) is Verdict.AGAIN
    assert verdict(Answer(500), num_server_errors=10) is Verdict.REJECTED


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_receiver_that_is_away_is_waited_for_however_long(status: int) -> None:
    assert verdict(Answer(status), num_server_errors=1000) is Verdict.AGAIN


def test_a_sample_that_is_too_old_for_prometheus_is_lost_at_once() -> None:
    assert verdict(Answer(500, "too old sample"), num_server_errors=1) is Verdict.REJECTED


def test_shown_text_is_short_printable_and_on_one_line() -> None:
    assert (
        shown_text(b" out of\r\norder \x1b[31m sample\xff\xe2\x80\xae")
        == "out of order [31m sample\N{REPLACEMENT CHARACTER}"
    )
    assert shown_text(b"x" * 10_000) == "x" * 200
    assert shown_text(b"") == ""


def test_secrets_are_left_out_of_shown_text_before_it_is_cut() -> None:
    assert shown_text(b"x" * 194 + b" s3cret-token", secrets={"s3cret-token"}) == "x" * 194 + " ***"
    assert shown_text(b"you sent s3cret-token, s3cret", secrets={"s3cret", "s3cret-token"}) == "you sent ***, ***"
    # What a secret is not may stand in any word.
    assert shown_text(b"an error", secrets={"", "e"}) == "an error"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("86400", 600.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 600.0),
        ("", 0.0),
        ("-5", 0.0),
        ("1e9", 0.0),
        ("soon", 0.0),
        ("9" * 5000, 0.0),
        ("Tue, 99 Nov 2023 22:13:50 GMT", 0.0),
        ("\N{ARABIC-INDIC DIGIT SEVEN}", 0.0),
    ],
)
def test_a_receivers_wish_to_be_left_alone_has_bounds(header: str, seconds: float) -> None:
    # 1,700,000,000 is 2023-11-14T22:13:20Z.
    assert retry_after_seconds(header, now=1_700_000_000.0) == seconds
