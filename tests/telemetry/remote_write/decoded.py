"""Reads what was sent: snappy's block format and the protobuf wire format, without knowledge of our encoder."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import cramjam
from msgspec import Struct

STALE_BITS = 0x7FF0000000000002


class DecodedSample(Struct, frozen=True):
    """One sample of one series. `labels` in the order in which they were sent."""

    labels: tuple[tuple[str, str], ...]
    value_bits: int
    timestamp_ms: int

    @property
    def name(self) -> str:
        return dict(self.labels)["__name__"]

    @property
    def value(self) -> float:
        return float(struct.unpack("<d", struct.pack("<Q", self.value_bits))[0])

    @property
    def is_stale(self) -> bool:
        return self.value_bits == STALE_BITS


def samples_in(body: bytes) -> list[DecodedSample]:
    """All samples of a compressed `WriteRequest`."""
    request = bytes(cramjam.snappy.decompress_raw(body))
    return [sample for number, series in fields(request) if number == 1 for sample in _samples(series)]


def _samples(series: bytes | int) -> Iterator[DecodedSample]:
    assert isinstance(series, bytes)
    parts = list(fields(series))
    labels = tuple(_label(content) for number, content in parts if number == 1)
    for number, content in parts:
        if number == 2:
            assert isinstance(content, bytes)
            sample = dict(fields(content))
            value, timestamp_ms = sample[1], sample[2]
            assert isinstance(value, bytes)
            assert isinstance(timestamp_ms, int)
            yield DecodedSample(labels, int.from_bytes(value, "little"), timestamp_ms)


def _label(content: bytes | int) -> tuple[str, str]:
    assert isinstance(content, bytes)
    pair = dict(fields(content))
    name, value = pair[1], pair[2]
    assert isinstance(name, bytes)
    assert isinstance(value, bytes)
    return name.decode(), value.decode()


def fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and content of each field: an int for a varint, else bytes."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        size = 8
        if wire_type == 2:
            size, place = _varint(message, place)
        assert wire_type in {1, 2}
        assert place + size <= len(message)
        yield number, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
