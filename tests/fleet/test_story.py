"""The product's story, from an empty host to an alert with its remedy, with everything real but the board.

The tests are one story: they share a host and run in their order. Ansible rolls the agent out to a host that has
nothing but sshd and Python; a Prometheus scrapes it, another one takes its push; its board turns hot; it is rebooted.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.dashboards.expressions import expressions

from .monitoring import Series, polled
from .story import PROJECT, Story, scene

pytestmark = [
    pytest.mark.needs_fleet,
    pytest.mark.needs_prometheus,
    # The first run builds the hosts' base system and all wheels; later ones take about three minutes in all.
    pytest.mark.timeout(900),
]

# What the agent exposes. A scrape adds series of its own, a rule its alerts.
AGENTS_SERIES = '{job="edge-agent",__name__!~"up|scrape_.*|ALERTS.*"}'

# Panels about what this host has not got, and those that show only what is wrong.
MAY_BE_EMPTY = {
    "Board: Age of the oldest sample that waits",
    "Board: Failing collectors",
    "Board: GPU clocks",
    "Board: GPU held back",
    "Board: GPU memory",
    "Board: GPU power",
    "Board: GPU temperature",
    "Board: GPU use",
    "Board: GPUs",
}


@pytest.fixture(scope="module")
def story(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with scene(tmp_path_factory.mktemp("story"), model=smollm2_path) as story:
        yield story


def test_one_run_of_the_playbook_makes_an_empty_host_serve(story: Story) -> None:
    assert story.host.ssh_outcome("ls /opt/edge-agent /etc/edge-agent /var/lib/edge-agent").returncode == 2
    recap = story.playbook.run("deploy.yml")["pi01"]
    assert (recap["failed"], recap["unreachable"]) == (0, 0)
    assert recap["changed"] > 0

    answer = story.ask("Say hello.", max_tokens=16)
    assert answer["choices"][0]["message"]["content"].strip()
    assert answer["usage"]["completion_tokens"] > 0


def test_prometheus_finds_and_scrapes_it_by_the_list_that_the_playbook_wrote(story: Story) -> None:
    story.scraping.wait_for('up{job="edge-agent",instance="pi01",site="lab"} == 1')
    assert [target["scrapeUrl"] for target in story.scraping.targets()] == [f"http://{story.host.address}:9464/metrics"]
    story.scraping.wait_for('edge_agent_device_info{instance="pi01",board=~"Raspberry Pi 4.*"}')


def test_pushed_series_equal_the_scraped_ones_label_for_label(story: Story) -> None:
    def difference() -> dict[str, list[str]]:
        scraped, pushed = story.scraping.series(AGENTS_SERIES), story.receiving.series(AGENTS_SERIES)
        return {"only scraped": listed(scraped - pushed), "only pushed": listed(pushed - scraped)}

    same: dict[str, list[str]] = {"only scraped": [], "only pushed": []}
    polled(lambda: difference() == same, seconds=30, problem=lambda: str(difference()))
    assert len(story.receiving.series(AGENTS_SERIES)) > 250
    tokens = f'sum(edge_agent_generated_tokens_total{{instance="pi01",site="lab"}}) == {num_generated(story.metrics())}'
    story.scraping.wait_for(tokens)
    story.receiving.wait_for(tokens)


def test_the_second_run_of_the_playbook_changes_nothing(story: Story) -> None:
    recap = story.playbook.run("deploy.yml")["pi01"]
    assert (recap["changed"], recap["failed"], recap["unreachable"]) == (0, 0, 0)


def test_tokens_of_a_throttled_board_are_counted_as_such_and_an_alert_brings_its_remedy(story: Story) -> None:
    story.scraping.wait_for('edge_agent_throttle_active{flag="throttled"} == 0')
    # Bits 1 and 2: the clock is capped, the board is throttled; 17 and 18: it has been.
    story.board.set(throttled="60006", temperature_celsius=86)
    story.scraping.wait_for('edge_agent_throttle_active{flag="throttled"} == 1')
    throttled = 'edge_agent_generated_tokens_total{thermal_state="throttled"}'
    assert story.scraping.wait_for(throttled) == 0
    assert story.ask("Tell me about rivers.", max_tokens=40, ignore_eos=True)["usage"]["completion_tokens"] == 40
    assert story.scraping.wait_for(f"{throttled} > 0") == 40
    story.scraping.wait_for("max(edge_agent_temperature_celsius) == 86")

    alert = story.webhooks.wait_for("EdgeAgentThrottled")
    assert (alert["labels"]["instance"], alert["labels"]["site"]) == ("pi01", "lab")
    assert alert["annotations"]["remedy"] == remedy_of("EdgeAgentThrottled")
    assert story.ask("Still there?", max_tokens=4)["usage"]["completion_tokens"] > 0


def test_every_panel_has_data_but_those_about_what_this_host_lacks(story: Story) -> None:
    exposed = families(story.metrics())
    panels = list(expressions())
    assert set().union(*(names(panel.expression) for panel in panels)) - exposed == set()
    empty = {panel.title for panel in panels if not story.scraping.query(panel.expression)}
    assert empty - MAY_BE_EMPTY == set()
    assert MAY_BE_EMPTY - {panel.title for panel in panels} == set()


def test_every_rule_is_healthy_and_names_only_what_the_agent_exposes(story: Story) -> None:
    loaded = story.scraping.rules()
    assert {rule["name"] for rule in loaded} == {rule["alert"] for rule in shipped_rules()}
    assert {rule["name"]: rule.get("lastError", "") for rule in loaded if rule["health"] != "ok"} == {}
    assert set().union(*(names(rule["query"]) for rule in loaded)) - families(story.metrics()) == set()


def test_it_comes_back_by_itself_after_a_reboot_as_who_it_was(story: Story) -> None:
    release = "readlink /opt/edge-agent/current"
    state = "cd /var/lib/edge-agent && find . -type f | sort | xargs sha256sum"
    before = story.host.ssh(f"{release}; {state}")
    series = {name for name in story.scraping.series(AGENTS_SERIES) if ("__name__", "edge_agent_model_info") in name}

    story.host.reboot()
    story.wait_until_ready()
    assert story.ask("Say hello.", max_tokens=16)["choices"][0]["message"]["content"].strip()
    assert story.host.ssh(f"{release}; {state}") == before
    # Of the process that began after the reboot: it alone has counted so few.
    story.scraping.wait_for('sum(edge_agent_requests_total{instance="pi01",outcome="ok"}) == 1')
    assert story.scraping.series("edge_agent_model_info") == series
    story.receiving.wait_for('sum(edge_agent_requests_total{instance="pi01",outcome="ok"}) == 1')
    # Rollouts and the reboot have alarmed nobody.
    assert {alert["labels"]["alertname"] for alert in story.webhooks.alerts} == {"EdgeAgentThrottled"}


def remedy_of(alert: str) -> str:
    """As the shipped rules have it."""
    (rule,) = (rule for rule in shipped_rules() if rule["alert"] == alert)
    return str(rule["annotations"]["remedy"])


def shipped_rules() -> list[dict[str, Any]]:
    files = (PROJECT / "dashboards/rules").glob("*.yml")
    groups = [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def num_generated(exposition: str) -> float:
    """Tokens generated since the agent's start."""
    samples = re.findall(r"^edge_agent_generated_tokens_total\{.*\} (\S+)$", exposition, re.MULTILINE)
    return sum(map(float, samples))


def listed(series: set[Series]) -> list[str]:
    """One line for each, to be compared and to be read."""
    return sorted(str(sorted(labels)) for labels in series)


def names(expression: str) -> set[str]:
    """The agent's metrics that the expression reads."""
    return set(re.findall(r"\bedge_agent_\w+", expression))


def families(exposition: str) -> set[str]:
    """Every name that a sample of the exposition may have."""
    declared = re.findall(r"^# TYPE (\S+) (\S+)$", exposition, re.MULTILINE)
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    return {name + suffix for name, kind in declared for suffix in suffixes.get(kind, ("",))}
