"""What is declared about one metric: its row in the table. Pure data; nothing is built from it here."""

from __future__ import annotations

import enum

import msgspec


class MetricKind(enum.Enum):
    """Prometheus' types, as far as they are used. An info metric is a gauge of value 1."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Label(msgspec.Struct, frozen=True):
    """A label and the values it may have. Without values the set is open: its series appear on first use."""

    name: str
    values: tuple[str, ...] = ()


class MetricRow(msgspec.Struct, frozen=True):
    """A metric: name without prefix, labels, and the help text, which is its definition. Edges are a histogram's."""

    name: str
    kind: MetricKind
    labels: tuple[Label, ...]
    definition: str
    edges: tuple[float, ...] = ()


def closed_label(name: str, values: type[enum.Enum]) -> Label:
    """A label whose values are those of an enum, in its order."""
    return Label(name, tuple(str(member.value) for member in values))
