"""What an agent's series may be called, and which labels they have, by the metric tables."""

from __future__ import annotations

from edge_agent.telemetry.metric_row import MetricKind, MetricRow
from edge_agent.telemetry.metric_table import ALL_ROWS, PREFIX

TARGET_LABELS = {"job", "instance"}
# Not the agent's own: made by a scrape, and by the Prometheus client library.
OTHERS: dict[str, set[str]] = {"up": set(), "process_resident_memory_bytes": set()}
HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")


def names_of(row: MetricRow) -> list[str]:
    name = PREFIX + row.name
    return [name + suffix for suffix in HISTOGRAM_SUFFIXES] if row.kind is MetricKind.HISTOGRAM else [name]


ROWS: dict[str, MetricRow] = {name: row for row in ALL_ROWS for name in names_of(row)}


def labels_of(name: str) -> set[str]:
    """Raises KeyError for a series that no agent has."""
    if name in OTHERS:
        return OTHERS[name] | TARGET_LABELS
    own = {label.name for label in ROWS[name].labels} | ({"le"} if name.endswith("_bucket") else set())
    return own | TARGET_LABELS


def is_counted(name: str) -> bool:
    """Whether only its rise means something."""
    return name in ROWS and ROWS[name].kind is not MetricKind.GAUGE


def closed_values(name: str, label: str) -> tuple[str, ...]:
    """The values that a label may have; none when anything goes."""
    found = [known.values for known in ROWS[name].labels if known.name == label] if name in ROWS else []
    return found[0] if found else ()
