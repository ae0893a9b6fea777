"""How each kind of panel looks in Grafana: turns the panels' data into builders of Grafana's schema.

Data comes from the dashboard's own variable, never from a named source.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.builders import heatmap as heatmap_builders
from grafana_foundation_sdk.builders import prometheus as prometheus_builders
from grafana_foundation_sdk.builders import stat as stat_builders
from grafana_foundation_sdk.builders import statetimeline as state_timeline_builders
from grafana_foundation_sdk.builders import table as table_builders
from grafana_foundation_sdk.builders import timeseries as time_series_builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, dashboard, heatmap, prometheus

from dashboards.source.panels import HeatMap, InfoTable, Limit, Panel, RangeStat, Stat, StateTimeline, TimeSeries

DATA_SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
# In rows of Grafana's grid.
HEIGHT, STAT_HEIGHT, TABLE_HEIGHT = 8, 4, 6


def drawn(panel: Panel) -> Builder[dashboard.Panel]:
    """The panel in Grafana's terms."""
    match panel:
        case TimeSeries():
            return _time_series(panel)
        case RangeStat():
            return (
                _stat(panel).graph_mode(common.BigValueGraphMode.NONE).targets([t.instant() for t in _targets(panel)])
            )
        case Stat():
            return _stat(panel)
        case StateTimeline():
            return _state_timeline(panel)
        case HeatMap():
            return _heat_map(panel)
        case InfoTable():
            return _info_table(panel)
        case _:
            raise TypeError(f"nobody knows how to draw a {type(panel).__name__}")


def _time_series(panel: TimeSeries) -> time_series_builders.Panel:
    built = (
        time_series_builders.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(DATA_SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(HEIGHT)
        .line_width(1)
        .fill_opacity(60 if panel.is_stacked else 10)
        .show_points(common.VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(_tooltip())
        .targets([target.range() for target in _targets(panel)])
    )
    if panel.is_stacked:
        built.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if panel.limits:
        style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.LINE)
        built.thresholds(_thresholds(panel.limits)).thresholds_style(style)
    if panel.lowest is not None:
        built.min(panel.lowest)
    if panel.highest is not None:
        built.max(panel.highest)
    return built


def _stat(panel: Stat) -> stat_builders.Panel:
    return (
        stat_builders.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(DATA_SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(STAT_HEIGHT)
        .graph_mode(common.BigValueGraphMode.AREA)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(panel.limits, base_colour=panel.base_colour))
        # A ratio without traffic is NaN.
        .mappings([_not_a_number("no traffic")])
        .targets([target.range() for target in _targets(panel)])
    )


def _state_timeline(panel: StateTimeline) -> state_timeline_builders.Panel:
    words = {
        "0": dashboard.ValueMappingResult(text="no", color="green", index=0),
        "1": dashboard.ValueMappingResult(text="yes", color="red", index=1),
    }
    return (
        state_timeline_builders.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(DATA_SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(HEIGHT)
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.8)
        .fill_opacity(80)
        .mappings([dashboard.ValueMap(options=words)])
        .legend(_legend())
        .targets([target.range() for target in _targets(panel)])
    )


def _heat_map(panel: HeatMap) -> heatmap_builders.Panel:
    colours = heatmap_builders.HeatmapColorOptions().mode(heatmap.HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    return (
        heatmap_builders.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(DATA_SOURCE)
        # The panel's own unit is that of the cells: observations in a second.
        .unit("cps")
        .span(panel.width)
        .height(HEIGHT)
        .calculate(False)
        .color(colours)
        .y_axis(heatmap_builders.YAxisConfig().unit(panel.unit).axis_placement(common.AxisPlacement.LEFT))
        .cell_gap(1)
        .targets([target.range().format(prometheus.PromQueryFormat.HEATMAP) for target in _targets(panel)])
    )


def _info_table(panel: InfoTable) -> table_builders.Panel:
    arrangement = {
        "indexByName": {label: position for position, (label, _) in enumerate(panel.columns)},
        "renameByName": dict(panel.columns),
        # External labels, such as a site, are nobody's to name here: they stay.
        "excludeByName": dict.fromkeys(("Time", "Value", "__name__", "job"), True),
    }
    return (
        table_builders.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(DATA_SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(TABLE_HEIGHT)
        .targets([target.instant().format(prometheus.PromQueryFormat.TABLE) for target in _targets(panel)])
        .with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=arrangement))
    )


def _targets(panel: Panel) -> list[prometheus_builders.Dataquery]:
    return [
        prometheus_builders.Dataquery()
        .datasource(DATA_SOURCE)
        .expr(query.expression)
        .legend_format(query.legend)
        .ref_id(chr(ord("A") + number))
        for number, query in enumerate(panel.queries)
    ]


def _legend() -> common_builders.VizLegendOptions:
    return (
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )


def _tooltip() -> common_builders.VizTooltipOptions:
    return common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)


def _thresholds(limits: tuple[Limit, ...], *, base_colour: str = "green") -> dashboard_builders.ThresholdsConfig:
    base = dashboard.Threshold(value=None, color=base_colour)
    steps = [base, *(dashboard.Threshold(value=limit.value, color=limit.colour) for limit in limits)]
    return dashboard_builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _not_a_number(text: str) -> dashboard.SpecialValueMap:
    return dashboard.SpecialValueMap(
        options=dashboard.DashboardSpecialValueMapOptions(
            match=dashboard.SpecialValueMatch.NA_N,
            result=dashboard.ValueMappingResult(text=text, color="text", index=0),
        )
    )
