"""The kinds of panels that both dashboards are made of. Pure data; how they look in Grafana, `drawing` knows.

Every panel has a title, a unit, and a description that says what it means and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from msgspec import Struct


class Query(NamedTuple):
    """PromQL, and how its series are called in the legend."""

    expression: str
    legend: str


class Limit(NamedTuple):
    """From this value on, this colour."""

    value: float
    colour: str


class Panel(Struct, frozen=True, kw_only=True):
    """What all kinds have. `width` is in columns: a dashboard has 24."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    width: int


class TimeSeries(Panel, frozen=True, kw_only=True):
    """Lines over time, with a line of its own at each limit; stacked where they are parts of a whole."""

    lowest: float | None
    highest: float | None
    is_stacked: bool = False
    limits: tuple[Limit, ...] = ()


class Stat(Panel, frozen=True, kw_only=True):
    """One number, now, above its own course; below its first limit it has the base colour."""

    limits: tuple[Limit, ...]
    base_colour: str = "green"


class RangeStat(Stat, frozen=True, kw_only=True):
    """One number about the whole time range that the reader has chosen."""


class StateTimeline(Panel, frozen=True, kw_only=True):
    """Bars that show when something held: values are 0 and 1."""


class HeatMap(Panel, frozen=True, kw_only=True):
    """How a histogram's observations are spread, over time; the query is of buckets, the unit is their edges'."""


class InfoTable(Panel, frozen=True, kw_only=True):
    """Labels of info metrics, one line a series: (label, heading) in order."""

    columns: tuple[tuple[str, str], ...]


def time_series(
    title: str,
    *queries: Query,
    description: str,
    unit: str,
    width: int = 8,
    lowest: float | None = 0,
    highest: float | None = None,
) -> TimeSeries:
    """Begins at 0, unless the quantity has no natural zero (`lowest=None`)."""
    return TimeSeries(
        title=title,
        description=description,
        unit=unit,
        queries=queries,
        width=width,
        lowest=lowest,
        highest=highest,
    )


def stacked(panel: TimeSeries) -> TimeSeries:
    """The same, as parts of a whole."""
    return msgspec.structs.replace(panel, is_stacked=True)


def limited(panel: TimeSeries, *limits: Limit) -> TimeSeries:
    """The same, with a line at each limit."""
    return msgspec.structs.replace(panel, limits=limits)


def stat(
    title: str, query: Query, *, description: str, unit: str, limits: tuple[Limit, ...] = (), width: int = 4
) -> Stat:
    """A sixth of the dashboard's width, unless told otherwise."""
    return Stat(title=title, description=description, unit=unit, queries=(query,), width=width, limits=limits)


def scarce(panel: Stat) -> Stat:
    """The same for what there should be much of: red below its first limit."""
    return msgspec.structs.replace(panel, base_colour="red")


def range_stat(title: str, query: Query, *, description: str, unit: str, limits: tuple[Limit, ...] = ()) -> RangeStat:
    """Half of the dashboard's width. The query's windows are `$__range`."""
    return RangeStat(title=title, description=description, unit=unit, queries=(query,), width=12, limits=limits)


def state_timeline(title: str, query: Query, *, description: str, width: int = 24) -> StateTimeline:
    """As wide as the dashboard, unless told otherwise."""
    return StateTimeline(title=title, description=description, unit="short", queries=(query,), width=width)


def heat_map(title: str, query: Query, *, description: str, unit: str, width: int = 8) -> HeatMap:
    """A third of the dashboard's width, unless told otherwise."""
    return HeatMap(title=title, description=description, unit=unit, queries=(query,), width=width)


def info_table(title: str, expression: str, *, description: str, columns: Mapping[str, str]) -> InfoTable:
    """As wide as the dashboard; `columns` gives labels their headings, in order."""
    return InfoTable(
        title=title,
        description=description,
        unit="none",
        queries=(Query(expression, ""),),
        width=24,
        columns=tuple(columns.items()),
    )
