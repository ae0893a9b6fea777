"""The monitoring beside the fleet: Debian's Prometheus and Alertmanager with the configurations that the project ships.

Only addresses, paths and intervals are others: a minute of a real fleet passes in seconds here.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml

from .program import FleetError, tail

START_SECONDS = 60
Series = frozenset[tuple[str, str]]
Answer = TypeVar("Answer")


class Prometheus:
    """Asks a running server over its HTTP API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result; AssertionError with what Prometheus has against the expression."""
        try:
            result: list[dict[str, Any]] = self._get(f"query?{urllib.parse.urlencode({'query': expression})}")["result"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{expression}: {json.load(error)['error']}") from None
        return result

    def wait_for(self, expression: str, *, seconds: float = 60) -> float:
        """The value of the expression's first sample, once it has one."""

        def has_sample() -> list[dict[str, Any]]:
            return self.query(expression)

        result = polled(has_sample, seconds=seconds, problem=lambda: f"{expression} has no sample at {self.url}")
        return float(result[0]["value"][1])

    def series(self, selector: str) -> set[Series]:
        """Label sets of all that the selector finds now."""
        return {frozenset(sample["metric"].items()) for sample in self.query(selector)}

    def rules(self) -> list[dict[str, Any]]:
        """Every loaded rule with its health."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def targets(self) -> Any:
        """Whom it scrapes, and how the last scrapes went."""
        return self._get("targets")["activeTargets"]

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=10) as response:
            return json.load(response)["data"]


def polled(ask: Callable[[], Answer], *, seconds: float, problem: Callable[[], str]) -> Answer:
    """What `ask` answers, once that is something; AssertionError with the problem when it is not in time."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"{problem()} (after {seconds:.0f} s)"
        time.sleep(0.2)
    return answer


@contextmanager
def running_prometheus(
    folder: Path, *, configuration: dict[str, Any], address: str = "127.0.0.1"
) -> Iterator[Prometheus]:
    """A server with its data in `folder`; it takes remote_write too."""
    file = _written(folder / "prometheus.yml", configuration)
    url = f"http://{address}:{_free_port(address)}"
    arguments = [
        f"--config.file={file}",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--web.enable-remote-write-receiver",
    ]
    with _running("prometheus", arguments, log=folder / "prometheus.log", ready=f"{url}/-/ready"):
        yield Prometheus(url)


@contextmanager
def running_alertmanager(folder: Path, *, configuration: dict[str, Any]) -> Iterator[str]:
    """The address, host:port, of an Alertmanager with its data in `folder`."""
    file = _written(folder / "alertmanager.yml", configuration)
    address = f"127.0.0.1:{_free_port('127.0.0.1')}"
    arguments = [
        f"--config.file={file}",
        f"--storage.path={folder}/data",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with _running(
        "prometheus-alertmanager", arguments, log=folder / "alertmanager.log", ready=f"http://{address}/-/ready"
    ):
        yield address


def shipped(file: Path) -> dict[str, Any]:
    """A configuration as it stands in the project."""
    configuration: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return configuration


@contextmanager
def _running(program: str, arguments: list[str], *, log: Path, ready: str) -> Iterator[None]:
    # A killed test run takes its servers with it.
    command = ["setpriv", "--pdeathsig", "KILL", program, *arguments]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
        try:
            _wait_until_ready(ready, server, log)
            yield
        finally:
            server.terminate()


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise FleetError(f"no answer from {url}; the end of {log}:\n{tail(log.read_text(encoding='utf-8'))}")


def _written(file: Path, configuration: dict[str, Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(configuration, sort_keys=False), encoding="utf-8")
    return file


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
