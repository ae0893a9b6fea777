"""Writes PromQL over the agent's own metrics; a name or a kind that the metric tables do not have raises here.

Every selector is narrowed by the dashboard's variables; `model` only where the caller does not say which. What the
results mean, the panels say.
"""

from __future__ import annotations

from edge_agent.telemetry.metric_row import MetricKind, MetricRow
from edge_agent.telemetry.metric_table import ALL_ROWS, PREFIX

ROWS = {row.name: row for row in ALL_ROWS}
JOB = 'job=~"$job"'
INSTANCE = 'instance=~"$instance"'
MODEL = 'model=~"$model"'
# For a dashboard that has no variable for it.
ANY_MODEL = 'model=~".+"'
WINDOW = "[$__rate_interval]"


def gauge(name: str, *matchers: str) -> str:
    """The series of a gauge."""
    return PREFIX + name + _selector(_row(name, MetricKind.GAUGE), matchers)


def rate(name: str, *matchers: str) -> str:
    """How fast each series of a counter rises, by second."""
    return f"rate({PREFIX}{name}{_selector(_row(name, MetricKind.COUNTER), matchers)}{WINDOW})"


def increase(name: str, *matchers: str, window: str = WINDOW) -> str:
    """By how much each series of a counter rose."""
    return f"increase({PREFIX}{name}{_selector(_row(name, MetricKind.COUNTER), matchers)}{window})"


def rate_of_sum(name: str, *matchers: str) -> str:
    """How fast the sum of a histogram's observations rises, by second."""
    return f"rate({PREFIX}{name}_sum{_selector(_row(name, MetricKind.HISTOGRAM), matchers)}{WINDOW})"


def rate_of_count(name: str, *matchers: str) -> str:
    """How many observations a histogram gets in a second."""
    return f"rate({PREFIX}{name}_count{_selector(_row(name, MetricKind.HISTOGRAM), matchers)}{WINDOW})"


def buckets(name: str, *by: str) -> str:
    """A histogram's buckets, put together over all series but for the labels `by`."""
    selector = _selector(_row(name, MetricKind.HISTOGRAM), ())
    return f"sum by ({', '.join(('le', *by))}) (rate({PREFIX}{name}_bucket{selector}{WINDOW}))"


def quantile(share: float, name: str, *by: str) -> str:
    """The value that this share of a histogram's observations stays below."""
    return f"histogram_quantile({share:g}, {buckets(name, *by)})"


def total(expression: str, *by: str) -> str:
    """The sum; over everything, or one for each combination of the labels `by`."""
    return f"sum by ({', '.join(by)}) ({expression})" if by else f"sum({expression})"


def _row(name: str, kind: MetricKind) -> MetricRow:
    row = ROWS[name]
    if row.kind is not kind:
        raise TypeError(f"{name} is a {row.kind.value}, not a {kind.value}")
    return row


def _selector(row: MetricRow, matchers: tuple[str, ...]) -> str:
    has_model = any(label.name == "model" for label in row.labels)
    chosen = (MODEL,) if has_model and ANY_MODEL not in matchers else ()
    return "{" + ", ".join((JOB, INSTANCE, *chosen, *matchers)) + "}"
