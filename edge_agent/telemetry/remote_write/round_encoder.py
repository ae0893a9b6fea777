"""Makes a round: one sample of every series that a scrape would show at this moment, ready to be sent. Event loop.

It remembers the series of the round before, so that one which has ended since is told to have ended. Nothing waits here
and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Mapping

import cramjam
from prometheus_client.samples import Sample

from edge_agent.telemetry.exposition import ExposedSeries
from edge_agent.telemetry.remote_write.queue import QueuedRequest
from edge_agent.telemetry.remote_write.write_request import STALE_NAN, encoded_labels, encoded_value, write_request
from edge_agent.telemetry.target_labels import TargetLabels

SeriesKey = tuple[str, tuple[tuple[str, str], ...]]


class RoundEncoder:
    """Of one registry. The labels of a series are encoded once, as long as it lasts."""

    def __init__(self, series: ExposedSeries, target: TargetLabels) -> None:
        self._series = series
        self._target = target.as_dict()
        self._labels: dict[SeriesKey, bytes] = {}

    def samples(self, *, timestamp_ms: int) -> QueuedRequest:
        """All series as they are now, and a stale marker for each that is no more."""
        before, self._labels = self._labels, {}
        encoded: list[tuple[bytes, bytes]] = []
        for family in self._series.collect():
            for sample in family.samples:
                key = (sample.name, tuple(sample.labels.items()))
                if key in self._labels:
                    continue
                labels = before.pop(key, None) or self._encoded_labels(sample)
                self._labels[key] = labels
                encoded.append((labels, encoded_value(sample.value)))
        encoded += [(labels, STALE_NAN) for labels in before.values()]
        return _request(encoded, timestamp_ms=timestamp_ms)

    def ends(self, *, timestamp_ms: int) -> QueuedRequest:
        """A stale marker for every series of the last round."""
        before, self._labels = self._labels, {}
        return _request([(labels, STALE_NAN) for labels in before.values()], timestamp_ms=timestamp_ms)

    def _encoded_labels(self, sample: Sample) -> bytes:
        labels: Mapping[str, str] = {**sample.labels, **self._target, "__name__": sample.name}
        return encoded_labels(labels)


def _request(encoded: list[tuple[bytes, bytes]], *, timestamp_ms: int) -> QueuedRequest:
    # Snappy's block format, without the frames that cramjam's `compress` would put around it.
    body = bytes(cramjam.snappy.compress_raw(write_request(encoded, timestamp_ms=timestamp_ms)))
    return QueuedRequest(body=body, num_samples=len(encoded), timestamp_ms=timestamp_ms)
