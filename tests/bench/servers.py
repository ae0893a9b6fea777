"""Starts the servers that are compared, each with its own words for the same work, and ends them."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .load import BenchError

# A 4B model off a slow disk.
START_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What both are started for."""

    model: Path
    num_threads: int
    context_length: int
    num_sequences: int


def llama_server_command(program: Path, work: Work, *, port: int) -> list[str]:
    """llama-server with one KV cache for all, as edge-agent has."""
    return [
        str(program), "-m", str(work.model), "-t", str(work.num_threads), "-c", str(work.context_length),
        "-np", str(work.num_sequences), "-kvu", "--port", str(port),
    ]  # fmt: skip


def edge_agent_command(work: Work, *, port: int) -> list[str]:
    """edge-agent as its user starts it."""
    return [
        sys.executable, "-m", "edge_agent", "serve", "--model", str(work.model), "--threads", str(work.num_threads),
        "--context-length", str(work.context_length), "--max-sequences", str(work.num_sequences), "--port", str(port),
    ]  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], *, port: int, ready_path: str) -> Iterator[str]:
    """The server's URL, once it answers 200 at `ready_path`. Raises BenchError with its last lines when it does not."""
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile("w+") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_until_ready(process, url + ready_path)
            yield url
        except BenchError as error:
            log.seek(0)
            raise BenchError(f"{error}\n{log.read()[-2000:]}") from error
        finally:
            process.terminate()


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
