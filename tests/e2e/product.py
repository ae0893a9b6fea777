"""The product under test: the real command line in a process of its own, on a free port, with a state of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

START_SECONDS = 120


class Reply(NamedTuple):
    """A whole HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Product:
    """A running `edge-agent serve`."""

    def __init__(self, *arguments: str, model: Path, state: Path, environ: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "edge_agent", "serve",
                "--model", str(model), "--port", "0", "--threads", "2", *arguments,
            ],
            env={**os.environ, "EDGE_AGENT_STATE_DIR": str(state), **(environ or {})},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self.log: list[str] = []
        self._log_grew = threading.Condition()
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()
        self.url = self.wait_for_log(r"listening url=(http://\S+)").group(1)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._log_grew:
                self.log.append(line.rstrip("\n"))
                self._log_grew.notify_all()
        with self._log_grew:
            self._log_grew.notify_all()

    def wait_for_log(self, pattern: str, *, after: int = 0) -> re.Match[str]:
        """The first line from line `after` on that matches."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.log[after:] if (match := re.search(pattern, line))), None)

        with self._log_grew:
            self._log_grew.wait_for(lambda: found() is not None or not self._reader.is_alive(), START_SECONDS)
        match = found()
        assert match, f"no line like {pattern!r} in:\n" + "\n".join(self.log)
        return match

    def wait_until_ready(self) -> None:
        self.wait_for_log("engine is ready")

    @property
    def engine_pid(self) -> int:
        """The engine process that runs now: the one child."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        (pid,) = children.split()
        return int(pid)

    def request(
        self, path: str, body: object = None, *, raw: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return Reply(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, dict(error.headers), error.read())

    def chat(self, text: str = "Hi", **fields: Any) -> Reply:
        return self.request("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **fields})

    def metrics(self) -> dict[str, float]:
        """Every sample as `name{label="value",…}` without the model label, to its value."""
        text = self.request("/metrics").body.decode()
        return {
            _series(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def stop(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(timeout=120)
        self._reader.join()
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


def _series(name: str, labels: dict[str, str]) -> str:
    kept = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()) if key != "model")
    return f"{name}{{{kept}}}" if kept else name


@contextmanager
def running_product(*arguments: str, model: Path, environ: dict[str, str] | None = None) -> Iterator[Product]:
    """A product that is up; its model may still be loading."""
    with tempfile.TemporaryDirectory() as state:
        product = Product(*arguments, model=model, state=Path(state), environ=environ)
        try:
            yield product
        finally:
            product.close()
