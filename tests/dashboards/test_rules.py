"""Every alert says what to do, asks for what agents have, and is proved both to fire and not to; examples are valid."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from edge_agent.telemetry.metric_set import MetricSet
from edge_agent.telemetry.metric_table import METRIC_TABLE, PREFIX
from edge_agent.telemetry.remote_write.answer import Answer, Verdict, verdict

from .expressions import FOLDER
from .promql_selectors import grouped_labels, selectors
from .series import closed_values, is_counted, labels_of
from .shipped_rules import RULES, rules

TESTS = sorted((FOLDER / "rules" / "tests").glob("*.yml"))
ALL_RULES = [pytest.param(rule, id=f"{rule['alert']}-{number}") for number, rule in enumerate(rules())]
each_rule = pytest.mark.parametrize("rule", ALL_RULES)


def cases() -> list[dict[str, Any]]:
    return [case for path in TESTS for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]]


def expectations(rule: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The cases about this rule's alert, each with what it expects at one time."""
    return [
        (case, moment) for case in cases() for moment in case["alert_rule_test"] if moment["alertname"] == rule["alert"]
    ]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, check=False)


@each_rule
def test_an_alert_has_a_severity_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("EdgeAgent")
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description", "remedy"}
    assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
    assert len(rule["annotations"]["remedy"]) > 60


@each_rule
def test_an_alert_asks_for_series_and_labels_that_agents_have(rule: dict[str, Any]) -> None:
    found = selectors(rule["expr"])
    assert found
    for selector in found:
        for label, operator, value in selector.matchers:
            assert label in labels_of(selector.name), f"{selector.name} has no label {label}"
            known = closed_values(selector.name, label)
            matched = [word for word in known if re.fullmatch(value, word)]
            assert not known or matched, f"{label}{operator}{value!r} matches nothing"
        assert not is_counted(selector.name) or selector.function in {"rate", "increase"}
    known_labels = set().union(*(labels_of(selector.name) for selector in found))
    assert grouped_labels(rule["expr"]) <= known_labels
    text = " ".join(rule["annotations"].values())
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= known_labels


@each_rule
def test_an_alert_keeps_external_labels(rule: dict[str, Any]) -> None:
    """`by` would drop a label such as site, of which the rules cannot know."""
    assert not re.search(r"\bby\s*\(", rule["expr"])


@each_rule
def test_what_a_remedy_looks_for_in_the_log_is_written_there(rule: dict[str, Any]) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (FOLDER.parent / "edge_agent").rglob("*.py"))
    for words in re.findall(r"grep '([^']*)'", rule["annotations"]["remedy"]):
        assert re.search(rf'logger\.warning\(\s*"[^"]*{words}\b', source)


@pytest.mark.parametrize(
    ("alert", "expected"), [("EdgeAgentPushFailing", Verdict.AGAIN), ("EdgeAgentSamplesLost", Verdict.REJECTED)]
)
def test_a_remedy_names_the_answers_that_lead_to_its_alert(alert: str, expected: Verdict) -> None:
    """What is refused does not wait, and what waits is not lost."""
    (remedy,) = [rule["annotations"]["remedy"] for rule in rules() if rule["alert"] == alert]
    named = [int(status) for status in re.findall(r"\b[1-5]\d\d\b", remedy)]
    assert named
    assert {verdict(Answer(status), num_server_errors=1) for status in named} == {expected}


@each_rule
def test_an_alert_is_proved_to_fire_with_its_remedy(rule: dict[str, Any]) -> None:
    fired = [
        alert
        for _, moment in expectations(rule)
        for alert in moment["exp_alerts"]
        if rule["labels"].items() <= alert["exp_labels"].items()
    ]
    assert fired
    for alert in fired:
        assert set(alert["exp_annotations"]) == {"summary", "description", "remedy"}


@each_rule
def test_an_alert_is_proved_not_to_fire_just_beside_it(rule: dict[str, Any]) -> None:
    quiet = set()
    for case, moment in expectations(rule):
        asked = {
            found[1] for series in case["input_series"] if (found := re.search(r'instance="([^"]+)"', series["series"]))
        }
        quiet |= asked - {alert["exp_labels"]["instance"] for alert in moment["exp_alerts"]}
    assert quiet


def test_every_case_is_about_an_alert_that_exists() -> None:
    asked = {moment["alertname"] for case in cases() for moment in case["alert_rule_test"]}
    assert asked == {rule["alert"] for rule in rules()}


def test_the_first_token_s_limit_is_an_edge_of_the_histogram_as_it_is_exposed() -> None:
    registry = CollectorRegistry()
    MetricSet(registry, METRIC_TABLE, prefix=PREFIX, constants={"model": "m"})
    exposed = {
        sample.labels["le"]
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "edge_agent_time_to_first_token_seconds_bucket"
    }
    (rule,) = [rule for rule in rules() if rule["alert"] == "EdgeAgentSlowFirstToken"]
    limits = {value for selector in selectors(rule["expr"]) for label, _, value in selector.matchers if label == "le"}
    assert limits == {"10.0"}
    assert limits <= exposed


@pytest.mark.needs_prometheus
def test_the_rules_are_valid() -> None:
    done = run("promtool", "check", "rules", RULES)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


@pytest.mark.needs_prometheus
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_the_cases_come_true(path: Path) -> None:
    done = run("promtool", "test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs_prometheus
def test_a_case_that_does_not_come_true_would_be_noticed(tmp_path: Path) -> None:
    text = TESTS[0].read_text(encoding="utf-8").replace("../edge-agent.yml", str(RULES))
    assert text.count("description: pi-1 has not answered a scrape") == 1
    path = tmp_path / "changed.yml"
    path.write_text(
        text.replace("description: pi-1 has not answered", "description: pi-1 has answered"), encoding="utf-8"
    )
    assert run("promtool", "test", "rules", path).returncode == 1


@pytest.mark.needs_prometheus
def test_the_example_for_prometheus_is_valid_and_loads_the_rules() -> None:
    done = run("promtool", "check", "config", FOLDER / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


@pytest.mark.needs_prometheus
@pytest.mark.parametrize(
    ("folder", "list_folder"),
    [("etc/prometheus", "etc/prometheus/file_sd"), ("checkout/dashboards", "checkout/dist/file_sd")],
)
def test_the_example_for_prometheus_finds_the_list_of_devices_where_it_is_put(
    tmp_path: Path, folder: str, list_folder: str
) -> None:
    (tmp_path / list_folder).mkdir(parents=True)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(FOLDER / "prometheus.yml", tmp_path / folder)
    shutil.copytree(FOLDER / "rules", tmp_path / folder / "rules")
    devices = [{"targets": ["192.0.2.11:9464"], "labels": {"instance": "greenhouse-1"}}]
    (tmp_path / list_folder / "devices.json").write_text(json.dumps(devices), encoding="utf-8")
    configuration = tmp_path / folder / "prometheus.yml"
    done = run("promtool", "check", "service-discovery", "--timeout=3s", configuration, "edge-agent")
    (found,) = json.loads(done.stdout)
    labels = {name: found["labels"][name] for name in ("__address__", "instance", "job")}
    assert labels == {"__address__": "192.0.2.11:9464", "instance": "greenhouse-1", "job": "edge-agent"}


@pytest.mark.needs_prometheus
def test_the_example_for_alertmanager_is_valid() -> None:
    done = run("amtool", "check-config", FOLDER / "alertmanager.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_inhibitions_name_alerts_that_exist() -> None:
    names = {rule["alert"] for rule in rules()}
    inhibitions = yaml.safe_load((FOLDER / "alertmanager.yml").read_text(encoding="utf-8"))["inhibit_rules"]
    for inhibition in inhibitions:
        for matcher in inhibition["source_matchers"] + inhibition["target_matchers"]:
            found = re.fullmatch(r'alertname(=|!=|=~)"(.+)"', matcher)
            assert found
            assert any(re.fullmatch(found[2], name) for name in names)


def test_a_device_that_is_down_is_the_only_alert_about_it() -> None:
    inhibitions = yaml.safe_load((FOLDER / "alertmanager.yml").read_text(encoding="utf-8"))["inhibit_rules"]
    assert {
        "source_matchers": ['alertname="EdgeAgentDown"'],
        "target_matchers": ['alertname=~"EdgeAgent.+"', 'alertname!="EdgeAgentDown"'],
        "equal": ["job", "instance"],
    } in inhibitions
