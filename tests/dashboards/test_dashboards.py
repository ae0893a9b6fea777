"""The dashboards are what their source says, keep to dashboard-linter's rules, and ask for what agents have."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from dashboards.source.files import DASHBOARDS as BUILDERS
from dashboards.source.files import FOLDER, as_json

from .expressions import NAMES, expressions, panels
from .expressions import dashboard as read
from .promql_selectors import grouped_labels, selectors
from .series import closed_values, is_counted, labels_of

ALL_PANELS = [(name, panel) for name in NAMES for panel in panels(read(name))]
ALL_QUERIES = [
    pytest.param(dashboard, panel, target, id=f"{dashboard}: {panel['title']} {target['refId']}")
    for dashboard, panel in ALL_PANELS
    for target in panel["targets"]
]
each_query = pytest.mark.parametrize(("dashboard", "panel", "target"), ALL_QUERIES)
each_panel = pytest.mark.parametrize(
    ("dashboard", "panel"), ALL_PANELS, ids=[f"{dashboard}: {panel['title']}" for dashboard, panel in ALL_PANELS]
)
each_dashboard = pytest.mark.parametrize("dashboard", NAMES)


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_the_files_are_what_their_source_makes(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == as_json(BUILDERS[name]()), "run `make dashboards`"


def test_no_dashboard_is_left_out_of_these_tests() -> None:
    assert (
        sorted(path.name for path in FOLDER.glob("*.json"))
        == sorted(BUILDERS)
        == sorted(f"{name}.json" for name in NAMES)
    )


@each_dashboard
def test_a_dashboard_opens_on_three_hours_and_refreshes_itself(dashboard: str) -> None:
    content = read(dashboard)
    assert content["uid"] == f"edge-agent-{dashboard}"
    assert content["time"] == {"from": "now-3h", "to": "now"}
    assert (content["refresh"], content["timezone"]) == ("30s", "browser")
    assert content["tags"] == ["edge-agent"]
    assert content["editable"] is False


@each_dashboard
def test_a_dashboard_links_to_the_others_with_devices_and_times(dashboard: str) -> None:
    (link,) = read(dashboard)["links"]
    assert (link["type"], link["tags"]) == ("dashboards", ["edge-agent"])
    assert (link["includeVars"], link["keepTime"]) == (True, True)


@each_dashboard
def test_the_data_source_is_a_variable(dashboard: str) -> None:
    first = read(dashboard)["templating"]["list"][0]
    assert (first["type"], first["name"], first["label"]) == ("datasource", "datasource", "Data Source")
    assert first["query"] == "prometheus"
    sources = set(re.findall(r'"uid": "([^"]*)"', json.dumps({**read(dashboard), "uid": ""})))
    assert sources == {"${datasource}", ""}


@pytest.mark.parametrize(
    ("dashboard", "names"),
    [("board", ["job", "instance"]), ("inference", ["job", "instance", "model"])],
)
def test_several_devices_can_be_chosen_and_all_is_one_pattern(dashboard: str, names: list[str]) -> None:
    variables = read(dashboard)["templating"]["list"][1:]
    assert [variable["name"] for variable in variables] == names
    for variable in variables:
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".+")
        assert variable["label"] == variable["name"].capitalize()
        # 2: when the time range changes, so that devices of that time are offered.
        assert variable["refresh"] == 2
        assert variable["datasource"]["uid"] == "${datasource}"


@each_dashboard
def test_variables_are_filled_from_series_that_agents_have(dashboard: str) -> None:
    for variable in read(dashboard)["templating"]["list"][1:]:
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
        assert found
        (selector,) = selectors(found[1])
        assert found[2] in labels_of(selector.name)
        assert {label for label, _, _ in selector.matchers} <= labels_of(selector.name)


@each_panel
def test_a_panel_says_what_it_shows_and_in_which_unit(dashboard: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 40
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["targets"]


@pytest.mark.parametrize(
    ("dashboard", "title", "enough"),
    [
        ("board", "Least memory available", 0.1),
        ("board", "Least room on a file system", 0.2),
        ("inference", "Engines up", 1),
    ],
)
def test_a_number_that_should_be_large_is_green_only_when_it_is(dashboard: str, title: str, enough: float) -> None:
    (panel,) = [panel for panel in panels(read(dashboard)) if panel["title"] == title]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["color"] for step in steps] == ["red", "orange", "green"]
    assert (
        steps[2]["value"] == {"Least memory available": 0.1, "Least room on a file system": 0.2, "Engines up": 1}[title]
    )


@each_dashboard
def test_panels_have_names_and_numbers_of_their_own(dashboard: str) -> None:
    numbers = [panel["id"] for panel in read(dashboard)["panels"]]
    kinds = [(panel["title"], panel["type"]) for panel in panels(read(dashboard))]
    assert sorted(set(numbers)) == numbers
    assert len(set(kinds)) == len(kinds)


@each_dashboard
def test_panels_lie_side_by_side(dashboard: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in read(dashboard)["panels"]:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert columns.stop <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


@each_query
def test_a_query_asks_for_series_and_labels_that_agents_have(
    dashboard: str, panel: dict[str, Any], target: dict[str, Any]
) -> None:
    found = selectors(target["expr"])
    assert found
    for selector in found:
        for label, operator, value in selector.matchers:
            assert label in labels_of(selector.name), f"{selector.name} has no label {label}"
            known = closed_values(selector.name, label)
            if known and operator in {"=", "!="}:
                assert value in known
            elif known and not value.startswith("$"):
                assert set(value.split("|")) <= set(known)
    known_labels = set().union(*(labels_of(selector.name) for selector in found))
    assert grouped_labels(target["expr"]) <= known_labels
    assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known_labels


@each_query
def test_a_query_is_about_the_chosen_devices_and_models(
    dashboard: str, panel: dict[str, Any], target: dict[str, Any]
) -> None:
    for selector in selectors(target["expr"]):
        assert selector.matchers[:2] == (("job", "=~", "$job"), ("instance", "=~", "$instance"))
        if dashboard == "inference" and "model" in labels_of(selector.name):
            assert ("model", "=~", "$model") in selector.matchers
        assert dashboard == "inference" or "$model" not in {value for _, _, value in selector.matchers}


@each_query
def test_counters_are_read_by_their_rise_over_an_interval_that_fits_the_scrapes(
    dashboard: str, panel: dict[str, Any], target: dict[str, Any]
) -> None:
    for selector in selectors(target["expr"]):
        if is_counted(selector.name):
            assert selector.function in {"rate", "increase"}
            windows = {"[$__rate_interval]"} | ({"[$__range]"} if selector.function == "increase" else set())
            assert selector.window in windows
        else:
            assert selector.window == ""


@each_query
def test_lines_of_several_devices_can_be_told_apart(
    dashboard: str, panel: dict[str, Any], target: dict[str, Any]
) -> None:
    """What is not summed over devices names the device."""
    expression = target["expr"]
    is_one_line = re.match(r"\(?(sum|min|max|count)\(|histogram_quantile\([\d.]+, sum by \(le\)", expression)
    if panel["type"] in {"timeseries", "state-timeline"} and not is_one_line:
        assert target["legendFormat"].startswith("{{"), expression


def test_filled_in_expressions_have_no_variable_left() -> None:
    filled_in = list(expressions())
    assert len(filled_in) == len(ALL_QUERIES)
    assert not [expression for expression in filled_in if "$" in expression.expression]
