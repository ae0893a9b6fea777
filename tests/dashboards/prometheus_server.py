"""A real Prometheus for these tests, and questions to its HTTP API."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PrometheusApi:
    """Answers of a running server, as JSON; errors of a query too."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        url = f"{self._url}{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                answer = json.load(error)
        return answer

    def wait_for(
        self, what: Callable[[dict[str, Any]], bool], path: str, *, seconds: float = 60, **parameters: str
    ) -> Any:
        """The data of the first answer of which `what` is true."""
        end = time.monotonic() + seconds
        answer: dict[str, Any] = {}
        while time.monotonic() < end:
            try:
                answer = self.get(path, **parameters)
            # A server that is still starting answers, but not in JSON.
            except (OSError, json.JSONDecodeError):
                pass
            else:
                if answer["status"] == "success" and what(answer["data"]):
                    return answer["data"]
            time.sleep(0.1)
        raise AssertionError(f"{path} {parameters} still answers {answer}")


@contextmanager
def running_prometheus(folder: Path) -> Iterator[PrometheusApi]:
    """One that scrapes nothing."""
    program = shutil.which("prometheus")
    assert program, "the prometheus package is missing: run `make test`"
    configuration, port = folder / "empty.yml", free_port()
    configuration.write_text("{}", encoding="utf-8")
    arguments = [f"--config.file={configuration}", f"--storage.tsdb.path={folder}/data"]
    with subprocess.Popen(
        [program, *arguments, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL
    ) as server:
        try:
            api = PrometheusApi(port)
            api.wait_for(lambda _: True, "/api/v1/query", query="1")
            yield api
        finally:
            server.terminate()
