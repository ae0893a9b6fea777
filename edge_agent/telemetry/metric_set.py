"""Builds a table of metrics into a registry and hands out the children by name. Agent process, any thread.

Series of closed label sets exist, at 0, as soon as the set does. What is counted into them, this module does not know.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from edge_agent.telemetry.metric_row import MetricKind, MetricRow

AnyMetric = Counter | Gauge | Histogram
M = TypeVar("M", bound=AnyMetric)


class MetricSet:
    """The metrics of `table`, registered in `registry` under `prefix`.

    `constants` gives labels that have one value throughout, such as `model`; rows without such a label ignore them.
    Asking for a metric that the table lacks, or for labels outside its sets, raises KeyError or ValueError: a bug.
    """

    def __init__(
        self, registry: CollectorRegistry, table: Sequence[MetricRow], *, prefix: str, constants: Mapping[str, str]
    ) -> None:
        self._constants = dict(constants)
        self._rows = {row.name: row for row in table}
        self._metrics = {row.name: _build(registry, row, prefix=prefix) for row in table}
        for row in table:
            self._create_closed_series(row)

    def counter(self, name: str, /, **labels: str) -> Counter:
        return self._child(name, Counter, labels)

    def gauge(self, name: str, /, **labels: str) -> Gauge:
        return self._child(name, Gauge, labels)

    def histogram(self, name: str, /, **labels: str) -> Histogram:
        return self._child(name, Histogram, labels)

    def set_info(self, name: str, /, **labels: str) -> None:
        """Make this the only series of an info metric."""
        self._metrics[name].clear()
        self.gauge(name, **labels).set(1)

    def _child(self, name: str, kind: type[M], labels: Mapping[str, str]) -> M:
        metric = self._metrics[name]
        if not isinstance(metric, kind):
            raise TypeError(f"{name} is a {self._rows[name].kind.value}, not a {kind.__name__.lower()}")
        row = self._rows[name]
        if not row.labels and not labels:
            return metric
        return metric.labels(**self._checked(row, labels))

    def _checked(self, row: MetricRow, labels: Mapping[str, str]) -> dict[str, str]:
        chosen = {label.name: self._constants[label.name] for label in row.labels if label.name in self._constants}
        chosen.update(labels)
        for label in row.labels:
            if label.values and chosen.get(label.name) not in label.values:
                raise ValueError(f"{row.name}: {label.name}={chosen.get(label.name)!r} is not one of {label.values}")
        return chosen

    def _create_closed_series(self, row: MetricRow) -> None:
        names = [label.name for label in row.labels if label.name not in self._constants]
        values = [label.values for label in row.labels if label.name not in self._constants]
        # An open label has no values, so that the product is empty and the series wait for their first use.
        for combination in itertools.product(*values):
            self._child(row.name, type(self._metrics[row.name]), dict(zip(names, combination, strict=True)))


def _build(registry: CollectorRegistry, row: MetricRow, *, prefix: str) -> AnyMetric:
    name = prefix + row.name
    labels = [label.name for label in row.labels]
    match row.kind:
        case MetricKind.COUNTER:
            return Counter(name, row.definition, labels, registry=registry)
        case MetricKind.GAUGE:
            return Gauge(name, row.definition, labels, registry=registry)
        case MetricKind.HISTOGRAM:
            return Histogram(name, row.definition, labels, registry=registry, buckets=row.edges)
