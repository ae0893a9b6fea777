from __future__ import annotations

import math
import struct

from edge_agent.telemetry.remote_write.write_request import (
    NORMAL_NAN,
    STALE_NAN,
    encoded_labels,
    encoded_value,
    write_request,
)


def test_a_request_is_encoded_byte_for_byte_as_prompb_has_it() -> None:
    labels = encoded_labels({"job": "a", "__name__": "up"})
    assert labels == (
        b"\x0a\x0e" b"\x0a\x08__name__" b"\x12\x02up"  # TimeSeries.labels: Label{name, value}
        b"\x0a\x08" b"\x0a\x03job" b"\x12\x01a"
    )  # fmt: skip
    assert write_request([(labels, encoded_value(1.0))], timestamp_ms=300) == (
        b"\x0a\x28"  # WriteRequest.timeseries, 40 bytes
        + labels
        + b"\x12\x0c"  # TimeSeries.samples, 12 bytes
        + b"\x09\x00\x00\x00\x00\x00\x00\xf0\x3f"  # Sample.value
        + b"\x10\xac\x02"  # Sample.timestamp
    )


def test_labels_are_sorted_by_name_and_those_without_a_value_left_out() -> None:
    labels = encoded_labels({"b": "2", "__name__": "x", "Z": "1", "a": "", "aa": "3"})
    places = [labels.index(name) for name in (b"\x01Z", b"__name__", b"\x02aa", b"\x01b")]
    assert places == sorted(places)
    assert b"\x01a\x12" not in labels


def test_a_long_label_has_a_length_of_two_bytes() -> None:
    # 300 is 0xAC 0x02; the label is 3 + 3 + 300 bytes: 306 is 0xB2 0x02.
    assert encoded_labels({"a": "x" * 300}) == b"\x0a\xb2\x02" + b"\x0a\x01a" + b"\x12\xac\x02" + b"x" * 300


def test_text_that_is_no_unicode_does_not_break_a_round() -> None:
    assert encoded_labels({"a": "\udcff"}) == b"\x0a\x06" + b"\x0a\x01a" + b"\x12\x01?"


def test_what_is_no_number_is_not_taken_for_the_end_of_a_series() -> None:
    (looks_stale,) = struct.unpack("<d", STALE_NAN)
    assert bytes.fromhex("020000000000f07f") == STALE_NAN
    assert encoded_value(looks_stale) == encoded_value(math.nan) == NORMAL_NAN == bytes.fromhex("010000000000f87f")


def test_infinity_and_negative_zero_are_sent_as_they_are() -> None:
    assert encoded_value(math.inf) == bytes.fromhex("000000000000f07f")
    assert encoded_value(-0.0) == bytes.fromhex("0000000000000080")
