"""The body of a remote_write request, before compression. Pure: labels and values in, protobuf out.

prometheus/prompb's `WriteRequest`, `TimeSeries`, `Label` and `Sample`, as far as remote_write 1.0 needs them, each with
its field numbers beside it. What is in a round, this module does not know.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping

# Bit patterns that Prometheus gives a meaning (model/value): the end of a series, and a value that is no number.
# As bytes: arithmetic, even a copy in some registers, turns the signalling one into another.
STALE_NAN = struct.pack("<Q", 0x7FF0000000000002)
NORMAL_NAN = struct.pack("<Q", 0x7FF8000000000001)

# Protobuf's wire types: how long what follows a tag is.
VARINT, FIXED_64, LENGTH = 0, 1, 2

_double = struct.Struct("<d").pack


def encoded_value(value: float) -> bytes:
    """A sample's value; no number that was measured can pass for the end of its series."""
    return NORMAL_NAN if math.isnan(value) else _double(value)


def encoded_labels(labels: Mapping[str, str]) -> bytes:
    """The labels of a `TimeSeries`, `__name__` among them, sorted by name. One without a value is no label."""
    return b"".join(
        _field(1, _field(1, _text(name)) + _field(2, _text(value))) for name, value in sorted(labels.items()) if value
    )


def write_request(series: Iterable[tuple[bytes, bytes]], *, timestamp_ms: int) -> bytes:
    """A `WriteRequest` of one sample for each series: encoded labels, encoded value, and the one timestamp."""
    # Sample: value = 1, timestamp = 2; in TimeSeries: labels = 1, samples = 2; in WriteRequest: timeseries = 1.
    timestamp = _tag(2, VARINT) + _varint(timestamp_ms)
    before_value = _tag(2, LENGTH) + _varint(9 + len(timestamp)) + _tag(1, FIXED_64)
    sample_size = len(before_value) + 8 + len(timestamp)
    parts: list[bytes] = []
    for labels, value in series:
        parts += (_tag(1, LENGTH), _varint(len(labels) + sample_size), labels, before_value, value, timestamp)
    return b"".join(parts)


def _text(text: str) -> bytes:
    return text.encode(errors="replace")


def _field(number: int, content: bytes) -> bytes:
    return _tag(number, LENGTH) + _varint(len(content)) + content


def _tag(number: int, wire_type: int) -> bytes:
    return bytes((number << 3 | wire_type,))


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last have the high bit set."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
