"""Renders the device's last snapshot as metrics. Whatever thread scrapes: it only reads what the sampler has published.

Names, types and labels are those of the table; a reading that does not fit it is a bug of a collector's, costs itself
alone and is logged once. The exposition is always well formed: no series twice, no value outside a closed set.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_agent.device.reading import Reading
from edge_agent.device.snapshot import DeviceSnapshotSource
from edge_agent.telemetry.metric_row import MetricKind, MetricRow

logger = logging.getLogger(__name__)


class DeviceMetrics(Collector):
    """The families of `table`, in its order; those without a reading have no series."""

    def __init__(self, snapshot: DeviceSnapshotSource, table: Sequence[MetricRow], *, prefix: str) -> None:
        self._snapshot = snapshot
        self._rows = {row.name: row for row in table}
        self._prefix = prefix
        self._misfits: set[tuple[str, tuple[str, ...]]] = set()

    def collect(self) -> Iterator[Metric]:
        series = self._series()
        for row in self._rows.values():
            yield _family(row, series[row.name], prefix=self._prefix)

    def _series(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Values by metric and by label values; of a series told twice, the first."""
        found: dict[str, dict[tuple[str, ...], float]] = {name: {} for name in self._rows}
        for reading in self._snapshot().readings:
            values = tuple(value for _, value in reading.labels)
            if self._fits(reading) and values not in found[reading.metric]:
                found[reading.metric][values] = reading.value
            else:
                self._tell_misfit(reading)
        return found

    def _fits(self, reading: Reading) -> bool:
        row = self._rows.get(reading.metric)
        return (
            row is not None
            and [label.name for label in row.labels] == [name for name, _ in reading.labels]
            and all(
                value in label.values if label.values else _is_text(value)
                for label, (_, value) in zip(row.labels, reading.labels, strict=True)
            )
        )

    def _tell_misfit(self, reading: Reading) -> None:
        # By the labels' names, not their values: those may be without end.
        kind = (reading.metric, tuple(name for name, _ in reading.labels))
        if kind not in self._misfits:
            self._misfits.add(kind)
            logger.error("a reading fits no metric or comes twice, please report this metric=%s labels=%s", *kind)


def _is_text(value: str) -> bool:
    """Whether it can be written: a name of bytes that are no UTF-8 comes as lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _family(row: MetricRow, series: dict[tuple[str, ...], float], *, prefix: str) -> Metric:
    build = CounterMetricFamily if row.kind is MetricKind.COUNTER else GaugeMetricFamily
    family = build(prefix + row.name, row.definition, labels=[label.name for label in row.labels])
    for values, value in series.items():
        family.add_metric(values, value)
    return family
