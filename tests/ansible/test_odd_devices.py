"""Variables that operators write and devices that are not as one would have them: what the role makes of these."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config_file import load_config

from .playing import MODEL, ROLE, load, play, render, write_inventory


def tasks_from(name: str, **public: Any) -> list[dict[str, Any]]:
    """A play of one of the role's task files."""
    include = {"name": "Do it", "ansible.builtin.include_role": {"name": "edge_agent", "tasks_from": name}, **public}
    return [{"hosts": "edge_agents", "gather_facts": False, "tasks": [include]}]


# --- pushed and scraped series are the same, whatever was said where -------------------------------------------------


def test_file_sd_list_gives_the_labels_that_the_configuration_gives_the_push(tmp_path: Path) -> None:
    labels = {"site": 'Gew\u00e4chshaus "3": #1', "floor": 2, "shaded": True, "note": " 1e3"}
    hosts: dict[str, dict[str, object]] = {
        "typed": {"edge_agent_external_labels": labels},
        "both": {
            "edge_agent_external_labels": {"site": "hill", "floor": "1"},
            "edge_agent_config": {"telemetry": {"external_labels": {"floor": "2"}}},
        },
        "renamed": {"edge_agent_instance": 12, "edge_agent_config": {"device": {"instance": "shed"}}},
        "numbered": {"edge_agent_instance": 12},
    }
    targets, _ = render(write_inventory(tmp_path, hosts, **MODEL), tmp_path)
    scraped = {target["targets"][0].split(":")[0]: target["labels"] for target in targets}
    assert scraped == {
        "typed": {
            "site": 'Gew\u00e4chshaus "3": #1',
            "floor": "2",
            "shaded": "True",
            "note": " 1e3",
            "instance": "typed",
        },
        "both": {"site": "hill", "floor": "2", "instance": "both"},
        "renamed": {"instance": "shed"},
        "numbered": {"instance": "12"},
    }
    for name, labels_of_scrape in scraped.items():
        config = load_config(file=tmp_path / f"{name}.yaml", environ={}, overrides={})
        assert {**config.telemetry.external_labels, "instance": config.device.instance} == labels_of_scrape


def test_metrics_without_a_port_of_their_own_are_listed_where_the_api_is(tmp_path: Path) -> None:
    shared: dict[str, object] = {"telemetry": {"port": None}}
    hosts: dict[str, dict[str, object]] = {
        "open": {"edge_agent_config": shared, "edge_agent_server_host": "0.0.0.0"},  # noqa: S104 (of the device)
        "closed": {"edge_agent_config": shared},
    }
    targets, _ = render(write_inventory(tmp_path, hosts, **MODEL), tmp_path)
    assert targets == [{"targets": ["open:8080"], "labels": {"instance": "open"}}]


# --- secrets ---------------------------------------------------------------------------------------------------------

A = {"url": "http://a.example/write", "bearer_token": "sesame-a"}
B = {"url": "http://b.example/write", "bearer_token": "sesame-b"}


def test_no_file_of_one_receiver_is_ever_that_of_another(tmp_path: Path) -> None:
    """The running agent reads the files again for each push, by the names of the configuration before."""
    hosts: dict[str, dict[str, object]] = {
        "before": {"edge_agent_remote_write_endpoints": [A, B]},
        "after": {"edge_agent_remote_write_endpoints": [B, A]},
    }
    render(write_inventory(tmp_path, hosts, **MODEL), tmp_path)
    before, after = (
        {
            endpoint.bearer_token_file: endpoint.url
            for endpoint in load_config(
                file=tmp_path / f"{name}.yaml", environ={}, overrides={}
            ).telemetry.remote_write.endpoints
        }
        for name in ("before", "after")
    )
    assert len(before) == len(after) == 2
    assert before.keys().isdisjoint(after)


def test_credentials_are_written_where_the_configuration_says_and_pruned_when_it_says_so_no_more(
    tmp_path: Path,
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("certificate", encoding="ascii")
    etc = tmp_path / "etc"
    etc.mkdir()
    endpoints = [A, {"url": "https://c.example/", "username": "u", "password": "sesame-c", "ca_file": str(ca)}]
    destinations = [task["ansible.builtin.copy"]["dest"] for task in load(ROLE / "tasks" / "credentials.yml")]
    write: dict[str, Any] = {
        "name": "Write what credentials.yml would write",
        "ansible.builtin.copy": {"content": "x", "dest": "{{ path }}", "mode": "0600"},
        "loop": "{{ edge_agent_remote_write_endpoints }}",
        "loop_control": {"index_var": "edge_agent_index"},
    }
    plays = [
        {
            "hosts": "edge_agents",
            "gather_facts": False,
            "tasks": [{**write, "vars": {"path": destination}} for destination in destinations],
        },
        *tasks_from("prune"),
    ]
    for stale in ("receiver-0.bearer_token", "receiver-0-00000000.bearer_token", "receiver-7-79da3dd4.password"):
        (etc / stale).touch()
    output = play(
        plays,
        write_inventory(tmp_path, {"one": {"edge_agent_remote_write_endpoints": endpoints}}, **MODEL),
        tmp_path,
        edge_agent_etc=str(etc),
        edge_agent_home=str(tmp_path / "home"),
        edge_agent_release=str(tmp_path / "home" / "releases" / "one"),
    )
    assert "failed=0" in output, output
    c = hashlib.sha256(b"https://c.example/").hexdigest()[:8]
    assert sorted(path.name for path in etc.iterdir()) == [
        "receiver-0-79da3dd4.bearer_token",
        f"receiver-1-{c}.ca_file",
        f"receiver-1-{c}.password",
    ]


def test_preflight_refuses_empty_secrets_and_relative_paths_without_showing_a_secret(tmp_path: Path) -> None:
    hosts: dict[str, dict[str, object]] = {
        "no_token": {"edge_agent_remote_write_endpoints": [A, {**B, "bearer_token": ""}]},
        "no_password": {"edge_agent_remote_write_endpoints": [{"url": "http://c/", "username": "u", "password": None}]},
        "relative_model": {"edge_agent_model_file": "models/tiny.gguf"},
        "relative_wheels": {"edge_agent_wheelhouse": "dist/wheelhouse"},
        # Goes on to the next check.
        "sound": {"edge_agent_remote_write_endpoints": [A]},
    }
    facts = {"service_mgr": "systemd", "userspace_bits": "64", "architecture": "x86_64"}
    give = {"name": "Take the place of the facts", "ansible.builtin.set_fact": {**facts, "cacheable": True}}
    (checks,) = tasks_from("preflight")
    checks["tasks"].insert(0, give)
    variables = {**MODEL, "edge_agent_python": "/nowhere/python3", "edge_agent_wheelhouse": str(tmp_path)}
    output = play([checks], write_inventory(tmp_path, hosts, **variables), tmp_path)
    failed = {
        name: json.loads(result)["msg"] for name, result in re.findall(r"fatal: \[(\w+)\]: FAILED! => (\{.*\})", output)
    }
    expected = {
        "no_token": "is empty. Set what it is read from",
        "no_password": "is empty. Set what it is read from",
        "relative_model": "edge_agent_model_file (models/tiny.gguf: the whole path of a .gguf file)",
        "relative_wheels": "edge_agent_wheelhouse (dist/wheelhouse: the whole path of a folder)",
        "sound": "/nowhere/python3 on sound is not Python 3.11",
    }
    assert failed.keys() == expected.keys(), output
    assert {name: text for name, text in expected.items() if text not in failed[name]} == {}, failed
    assert "sesame" not in output


# --- devices ---------------------------------------------------------------------------------------------------------


class Agent(BaseHTTPRequestHandler):
    """Answers as a service does whose model is loaded."""

    def do_GET(self) -> None:
        self._reply({"status": "ready"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._reply({"choices": [{"message": {"content": "Hello."}}]})

    def log_message(self, *_: object) -> None:
        """Keeps quiet."""

    def _reply(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running_agent() -> Iterator[int]:
    """Its port on the loopback address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Agent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_device_behind_a_proxy_is_asked_without_it(tmp_path: Path) -> None:
    with running_agent() as port:
        (asking,) = tasks_from("verify")
        nobody = "http://127.0.0.1:1"
        asking["environment"] = {"http_proxy": nobody, "HTTP_PROXY": nobody, "no_proxy": "", "NO_PROXY": ""}
        inventory = write_inventory(
            tmp_path, {"one": {}}, **MODEL, edge_agent_server_port=port, edge_agent_ready_timeout_seconds=2
        )
        output = play([asking], inventory, tmp_path)
    assert re.search(r"one\s+: ok=\d+ .* failed=0 .* rescued=0", output), output


@pytest.mark.parametrize("task", ["Make the virtual environment", "Install the wheels"])
def test_a_release_can_be_run_by_the_service_whatever_roots_umask(task: str, tmp_path: Path) -> None:
    (install,) = (entry["block"] for entry in load(ROLE / "tasks" / "install.yml") if "block" in entry)
    (argv,) = (entry["ansible.builtin.command"]["argv"] for entry in install if entry["name"] == task)
    wrapper = argv[: argv.index("-m") - 1]
    made = tmp_path / "made"
    program = "import pathlib, sys; pathlib.Path(sys.argv[1]).mkdir()"
    subprocess.run([*wrapper, sys.executable, "-c", program, made], check=True, umask=0o077)
    assert made.stat().st_mode & 0o777 == 0o755


def test_handlers_leave_a_device_alone_that_has_no_unit_yet() -> None:
    look, *rest = (
        handler for handler in load(ROLE / "handlers" / "main.yml") if handler["listen"] == "edge_agent_changed"
    )
    assert look["register"] == "edge_agent_unit_now"
    assert look["ansible.builtin.stat"] == {"path": "/etc/systemd/system/edge-agent.service"}
    assert [handler["when"] for handler in rest] == ["edge_agent_unit_now.stat.exists"] * 2
