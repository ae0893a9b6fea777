"""tools/monitoring.sh starts a real Prometheus and Alertmanager with what is shipped, and ends both."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from .prometheus_server import PrometheusApi, free_port
from .shipped_rules import rules

SCRIPT = Path(__file__).parents[2] / "tools" / "monitoring.sh"
BASH = shutil.which("bash") or "/bin/bash"


class Metrics(BaseHTTPRequestHandler):
    """An agent, as far as a scrape sees it: its engine is down."""

    def do_GET(self) -> None:
        body = {"/metrics": b"edge_agent_engine_up 0\n", "/status": b'{"device":{"instance":"pi-7"}}'}.get(
            self.path, b""
        )
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Nothing: pytest's output is no access log."""


@pytest.fixture
def agent_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextmanager
def monitoring(folder: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    environment = {"PATH": os.environ["PATH"], "HOSTNAME": "this-machine", "MONITORING_DIR": str(folder), **variables}
    with subprocess.Popen(
        [BASH, str(SCRIPT)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as script:
        try:
            yield script
        finally:
            script.terminate()


def refused(folder: Path, **variables: str) -> str:
    """What a run says that ends before anything is started."""
    with monitoring(folder, **variables) as script:
        said = script.communicate(timeout=30)[1]
    assert script.returncode == 2
    assert not folder.exists()
    return said


@pytest.mark.needs_prometheus
def test_the_agent_is_scraped_watched_and_left_in_order(tmp_path: Path, agent_port: int) -> None:
    ports = {"PROMETHEUS_PORT": str(free_port()), "ALERTMANAGER_PORT": str(free_port())}
    with monitoring(tmp_path / "data", AGENT=f"127.0.0.1:{agent_port}", **ports) as script:
        assert script.stdout
        said = ""
        while "Ctrl-C" not in said:
            line = script.stdout.readline()
            assert line, script.communicate()[1]
            said += line
        assert f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}/classic/alerts" in said
        prometheus = PrometheusApi(int(ports["PROMETHEUS_PORT"]))

        scraped = prometheus.wait_for(
            lambda data: bool(data["result"]), "/api/v1/query", query="edge_agent_engine_up == 0"
        )
        assert scraped["result"][0]["metric"] == {
            "__name__": "edge_agent_engine_up",
            "job": "edge-agent",
            "instance": "pi-7",
        }
        groups = prometheus.get("/api/v1/rules")["data"]["groups"]
        assert sum(len(group["rules"]) for group in groups) == len(rules())
        found = prometheus.wait_for(lambda data: bool(data["activeAlertmanagers"]), "/api/v1/alertmanagers")
        assert found["activeAlertmanagers"] == [{"url": f"http://127.0.0.1:{ports['ALERTMANAGER_PORT']}/api/v2/alerts"}]
        prometheus.wait_for(lambda data: bool(data["alerts"]), "/api/v1/alerts")

        script.send_signal(signal.SIGINT)
        assert script.wait(timeout=60) == 0
    for port in ports.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0


@pytest.mark.needs_prometheus
def test_when_one_of_the_two_ends_so_does_the_other_and_the_logs_are_shown(tmp_path: Path) -> None:
    ports = {"PROMETHEUS_PORT": str(free_port()), "ALERTMANAGER_PORT": str(free_port())}
    with monitoring(tmp_path / "data", **ports) as script:
        assert script.stdout
        assert any("Ctrl-C" in line for line in script.stdout)
        (alertmanager,) = (pid for pid in children(script.pid) if "prometheus-alertmanager" in command_line(pid))
        os.kill(alertmanager, signal.SIGKILL)
        said = script.communicate(timeout=60)[1]
    assert script.returncode == 1
    assert "One of the two has ended by itself" in said
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(ports["PROMETHEUS_PORT"]))) != 0


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # a sleep that is over


@pytest.mark.needs_prometheus
def test_a_taken_port_is_refused_with_the_way_out(tmp_path: Path, agent_port: int) -> None:
    said = refused(tmp_path / "data", PROMETHEUS_PORT=str(agent_port))
    assert said.startswith(f"Port {agent_port} on 127.0.0.1 is taken")
    assert "make monitoring PROMETHEUS_PORT=NUMBER" in said


@pytest.mark.needs_prometheus
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENT", "nowhere"),
        ("AGENT", '127.0.0.1:80", "x'),
        ("INSTANCE", 'a", "b'),
        ("INSTANCE", "n" * 129),
        ("PROMETHEUS_PORT", "0"),
        ("ALERTMANAGER_PORT", "65536"),
    ],
)
def test_a_variable_that_is_wrong_is_refused_by_name(tmp_path: Path, name: str, value: str) -> None:
    assert refused(tmp_path / "data", **{name: value}).startswith(f"{name}={value} ")


@pytest.mark.needs_prometheus
def test_what_is_wrong_comes_before_what_is_taken(tmp_path: Path, agent_port: int) -> None:
    """Or a server on a default port would hide it."""
    said = refused(tmp_path / "data", PROMETHEUS_PORT=str(agent_port), ALERTMANAGER_PORT="65536")
    assert said.startswith("ALERTMANAGER_PORT=65536 is not a port")


def test_missing_programs_are_answered_with_the_command_that_installs_them(tmp_path: Path) -> None:
    said = refused(tmp_path / "data", PATH=str(tmp_path))
    assert re.search(r"apt-get install -y prometheus prometheus-alertmanager\n", said)
