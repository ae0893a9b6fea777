"""Starts the servers that are compared, and ends them. What each is told for its work, `contenders` knows."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from .load import BenchError

# A 4B model off a slow disk.
START_SECONDS = 300
# A server that has not ended so long after SIGTERM hangs; answers are over by then.
STOP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Server:
    """A program: its command line for a port, and where it answers 200 when it can be asked.

    `environment` None inherits this process's.
    """

    command: Callable[[int], list[str]]
    ready_path: str
    environment: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class RunningServer:
    """One that is up."""

    url: str
    pid: int


@contextmanager
def running(server: Server) -> Iterator[RunningServer]:
    """The server, once it is ready. Raises BenchError with its last lines when it does not get so far."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(server.command(port), stdout=log, stderr=log, env=server.environment) as process,
    ):
        try:
            _wait_until_ready(process, url + server.ready_path)
            yield RunningServer(url, process.pid)
        except BenchError as error:
            log.seek(0)
            raise BenchError(f"{error}\n{log.read()[-2000:]}") from error
        finally:
            _end(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        if process.poll() is not None:
            raise BenchError(f"{process.args!r} ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                if response.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    raise BenchError(f"{process.args!r} is not ready after {START_SECONDS} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
