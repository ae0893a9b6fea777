"""The words in which each server is told the same work: threads, context, sequences. Starts nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .servers import Server

# llama-cpp-python's server answers one request at a time: room for the longest conversation here.
PYTHON_SERVER_CONTEXT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What all are started for."""

    model: Path
    num_threads: int
    context_length: int
    num_sequences: int


def llama_server(program: Path, work: Work, *further: str) -> Server:
    """llama-server with one KV cache for all, as edge-agent has."""
    command = [
        str(program), "-m", str(work.model), "-t", str(work.num_threads), "-c", str(work.context_length),
        "-np", str(work.num_sequences), "-kvu", *further,
    ]  # fmt: skip
    return Server(lambda port: [*command, "--port", str(port)], "/health")


def python_server(environment: Mapping[str, str], work: Work) -> Server:
    """llama-cpp-python's own server with its defaults, but for what the work says."""
    command = [
        sys.executable, "-m", "llama_cpp.server", "--model", str(work.model), "--host", "127.0.0.1",
        "--n_ctx", str(PYTHON_SERVER_CONTEXT), "--n_threads", str(work.num_threads),
        "--n_threads_batch", str(work.num_threads),
    ]  # fmt: skip
    return Server(lambda port: [*command, "--port", str(port)], "/v1/models", environment)


def edge_agent(folder: Path, work: Work, settings: Mapping[str, object], *, launcher: tuple[str, ...] = ()) -> Server:
    """edge-agent with these settings, by dotted key. `folder` gets its configuration and its state, nothing of which
    an earlier run must have left behind. `launcher` starts the command that follows it.
    """
    effective = {
        "state_dir": str(folder),
        # Files of the catalog keep their digests beside them; a prefix on disk belongs to a digest.
        "model.path": str(work.model),
        "model.threads": work.num_threads,
        "model.context_length": work.context_length,
        # A measurement in the first idle minute would disturb ours.
        "model.tune": "never",
        "scheduler.max_sequences": work.num_sequences,
        **settings,
    }
    # JSON is YAML.
    file = folder / "edge-agent.yaml"
    file.write_text(json.dumps(_nested(effective)), encoding="utf-8")
    command = [*launcher, sys.executable, "-m", "edge_agent", "serve", "--config", str(file)]
    return Server(lambda port: [*command, "--port", str(port)], "/ready")


def _nested(settings: Mapping[str, object]) -> dict[str, object]:
    sections: dict[str, object] = {}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        if not section:
            sections[name] = value
            continue
        values = sections.setdefault(section, {})
        if isinstance(values, dict):
            values[name] = value
    return sections
