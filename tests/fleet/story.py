"""The product's surroundings: an empty host with a fake board, and the monitoring that watches it from outside.

It sets the scene and tells, when a test fails, what an engineer would look at. What has to happen, test_story says.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .fake_board import FakeBoard
from .host import Host
from .hosts import CACHE, running_fleet
from .monitoring import Prometheus, polled, running_alertmanager, running_prometheus, shipped
from .playbook import Playbook
from .program import FleetError, tail
from .webhook_receiver import WebhookReceiver, running_receiver
from .wheelhouse import wheelhouse

PROJECT = Path(__file__).parents[2]
BOARD = "/srv/board"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
# Of Prometheus and of the agent's push: what takes 15 s in a fleet takes 2 here.
INTERVAL_SECONDS = 2


@dataclass(frozen=True, kw_only=True)
class Story:
    """All that takes part. `scraping` has the rules and the alerts; `receiving` knows only what is pushed to it."""

    host: Host
    board: FakeBoard
    playbook: Playbook
    scraping: Prometheus
    receiving: Prometheus
    webhooks: WebhookReceiver

    def ask(self, text: str, **fields: Any) -> dict[str, Any]:
        """The agent's answer to a chat, asked over the network."""
        body = json.dumps({"messages": [{"role": "user", "content": text}], **fields}).encode()
        request = urllib.request.Request(f"http://{self.host.address}:8080/v1/chat/completions", data=body)
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def metrics(self) -> str:
        """What the agent exposes."""
        with urllib.request.urlopen(f"http://{self.host.address}:9464/metrics", timeout=10) as response:
            text: str = response.read().decode()
        return text

    def wait_until_ready(self, *, seconds: float = 60) -> None:
        """The agent takes requests."""

        def is_ready() -> bool:
            try:
                with urllib.request.urlopen(f"http://{self.host.address}:8080/ready", timeout=5) as response:
                    return int(response.status) == 200
            except OSError:
                return False

        polled(is_ready, seconds=seconds, problem=lambda: "the agent is not ready")

    def evidence(self) -> list[tuple[str, str]]:
        """Titles and texts of what tells why a test failed."""
        journal = "journalctl --no-pager --unit edge-agent --output cat --lines 60"
        sources: dict[str, Callable[[], str]] = {
            "journal of the unit": lambda: self.host.ssh(journal),
            "console of the host": self.host.console_tail,
            "end of the last playbook": lambda: tail(self.playbook.output, lines=60),
            "targets of Prometheus": lambda: json.dumps(self.scraping.targets(), indent=1),
            "webhooks": lambda: json.dumps(self.webhooks.alerts, indent=1),
        }
        return [(title, _told(source)) for title, source in sources.items()]


@contextmanager
def scene(folder: Path, *, model: Path) -> Iterator[Story]:
    """An empty host named pi01 with nothing on it yet, and a monitoring that waits for it."""
    board = FakeBoard(folder / "board")
    file_sd = folder / "file_sd/edge-agent.json"
    with ExitStack() as stack:
        fleet = stack.enter_context(running_fleet(1, binds={board.folder: BOARD}))
        _check_python(fleet.hosts[0])
        wheels = wheelhouse(folder / "wheelhouse", project=PROJECT, cache=CACHE)
        webhooks = stack.enter_context(running_receiver())
        alertmanager = stack.enter_context(
            running_alertmanager(folder / "alertmanager", configuration=_alertmanager(webhooks.url))
        )
        scraping = stack.enter_context(
            running_prometheus(folder / "scraping", configuration=_prometheus(file_sd, alertmanager))
        )
        receiving = stack.enter_context(
            running_prometheus(folder / "receiving", configuration={}, address=fleet.gateway)
        )
        variables = _variables(wheels=wheels, model=model, file_sd=file_sd, receiver=receiving.url)
        yield Story(
            host=fleet.hosts[0],
            board=board,
            playbook=Playbook(fleet, project=PROJECT, folder=folder, variables=variables),
            scraping=scraping,
            receiving=receiving,
            webhooks=webhooks,
        )


def _check_python(host: Host) -> None:
    """Wheels are built by the Python that runs the tests, and installed by the host's."""
    theirs = host.ssh("python3 -c 'import sys; print(*sys.version_info[:2])'").split()
    ours = [str(number) for number in sys.version_info[:2]]
    if theirs != ours:
        raise FleetError(
            f"hosts run Python {'.'.join(theirs)}, the tests {'.'.join(ours)}: wheels built here would not fit there; "
            f"make .venv with Debian's own: make clean, then make test PYTHON=/usr/bin/python3"
        )


def _variables(*, wheels: Path, model: Path, file_sd: Path, receiver: str) -> dict[str, Any]:
    """What an operator would say of the device in the inventory."""
    return {
        "edge_agent_wheelhouse": str(wheels),
        "edge_agent_model_name": "smollm2-135m-instruct",
        "edge_agent_model_file": str(model.resolve()),
        "edge_agent_model_sha256": MODEL_SHA256,
        "edge_agent_file_sd_path": str(file_sd),
        "edge_agent_server_host": "0.0.0.0",  # noqa: S104 (of the host, whose network ends at this machine)
        "edge_agent_external_labels": {"site": "lab"},
        "edge_agent_remote_write_endpoints": [{"url": f"{receiver}/api/v1/write"}],
        "edge_agent_config": {
            "server": {"allow_unauthenticated": True},
            "device": {"root": BOARD},
            "telemetry": {"remote_write": {"interval_seconds": INTERVAL_SECONDS}},
        },
    }


def _prometheus(file_sd: Path, alertmanager: str) -> dict[str, Any]:
    """The shipped configuration, at this machine's addresses and in its hurry."""
    configuration = shipped(PROJECT / "dashboards/prometheus.yml")
    seconds = f"{INTERVAL_SECONDS}s"
    configuration["global"] |= {"scrape_interval": seconds, "scrape_timeout": seconds, "evaluation_interval": seconds}
    configuration["rule_files"] = [str(PROJECT / "dashboards/rules/*.yml")]
    (job,) = (job for job in configuration["scrape_configs"] if job["job_name"] == "edge-agent")
    job["file_sd_configs"] = [{"files": [str(file_sd)], "refresh_interval": seconds}]
    configuration["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [alertmanager]}]
    return configuration


def _alertmanager(url: str) -> dict[str, Any]:
    """The shipped configuration, which tells this machine at once."""
    configuration = shipped(PROJECT / "dashboards/alertmanager.yml")
    configuration["route"] |= {"group_wait": "1s", "group_interval": "5s"}
    for receiver in configuration["receivers"]:
        for webhook in receiver.get("webhook_configs", []):
            webhook["url"] = url
    return configuration


def _told(source: Callable[[], str]) -> str:
    try:
        return source()
    except (FleetError, OSError) as error:
        return f"cannot be had: {error}"
