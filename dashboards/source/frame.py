"""What both dashboards have around their panels: variables, times, links to each other, the panels' numbers."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from dashboards.source.drawing import DATA_SOURCE, drawn
from dashboards.source.panels import Panel
from dashboards.source.promql import INSTANCE, JOB

TAG = "edge-agent"
# Rates are taken over four intervals, of which Grafana knows only what it is told: 15 s, if nothing.
INTERVAL_HINT = (
    "Gaps where rates should be: give the data source, as its scrape interval, the longest interval at which devices "
    "are scraped or push."
)
Row = tuple[str, Sequence[Panel]]


def framed(
    title: str,
    *,
    uid: str,
    description: str,
    variables: Sequence[Builder[dashboard.VariableModel]],
    rows: Sequence[Row],
) -> dashboard.Dashboard:
    """A whole dashboard. Rows are given with their headings; the uid stays for ever: links are made of it."""
    builder = (
        builders.Dashboard(f"edge-agent / {title}")
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .time("now-3h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(_others())
        .variables([*variables])
    )
    for heading, panels in rows:
        builder.with_row(builders.Row(heading))
        for panel in panels:
            builder.with_panel(drawn(panel))
    return _numbered(builder.build())


def data_source() -> builders.DatasourceVariable:
    """Which Prometheus is asked."""
    return builders.DatasourceVariable("datasource").label("Data Source").type("prometheus")


def job() -> builders.QueryVariable:
    """`edge-agent`, unless a scrape configuration calls it otherwise."""
    return _label_values("job", "Job", "edge_agent_build_info")


def instance() -> builders.QueryVariable:
    """The devices."""
    return _label_values("instance", "Instance", f"edge_agent_build_info{{{JOB}}}")


def model() -> builders.QueryVariable:
    """The models that the chosen devices serve."""
    return _label_values("model", "Model", f"edge_agent_requests_running{{{JOB}, {INSTANCE}}}")


def _label_values(name: str, label: str, series: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(DATA_SOURCE)
        .query(f"label_values({series}, {name})")
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(dashboard.VariableOption(selected=True, text="All", value="$__all"))
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )


def _others() -> builders.DashboardLink:
    """The other dashboards with our tag, about the same devices and times."""
    return (
        builders.DashboardLink("edge-agent")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
    )


def _numbered(built: dashboard.Dashboard) -> dashboard.Dashboard:
    for number, panel in enumerate(built.panels or [], start=1):
        panel.id_val = number
    return built
