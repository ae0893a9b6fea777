"""Measures whether the 4B shape answers a long prompt within a 4 GB board's memory, and how much of it is private."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from .comparison import Figure, Row
from .contenders import Work, edge_agent
from .goals import LIMIT
from .load import BenchError, measure
from .memory_group import memory_group
from .processes import Processes, processes_of
from .servers import RunningServer, running
from .workload import document

TITLE = "2,000-token prompt"
# 3,500 MiB: a 4 GB board less its kernel, system services and video memory.
GROUP_BYTES = 3500 * 1024 * 1024
# 550 MB beyond the mapped weights: what then is left of it for them and for the page cache.
PRIVATE_MEGABYTES = 550
SAMPLE_SECONDS = 0.25
MIN_PROMPT_TOKENS = 1900
SETTINGS: Mapping[str, object] = {
    "model.kv_cache_type": "q8_0",
    "model.flash_attention": True,
    # A rearranged copy of the weights alone would be 2.4 GB.
    "model.repack": False,
    "model.micro_batch_tokens": 128,
}


def measure_memory(work: Work, *, say: Callable[[str], None]) -> list[Row]:
    """One row: the most private memory of agent and engine together. Raises BenchError when they are killed."""
    _drop_from_page_cache(work.model)
    with (
        tempfile.TemporaryDirectory() as folder,
        memory_group(GROUP_BYTES) as launcher,
        running(edge_agent(Path(folder), work, SETTINGS, launcher=launcher)) as server,
    ):
        say(f"{TITLE}: loaded")
        megabytes = asyncio.run(_answer_and_watch(server)) / 1e6
    return [Row(work=TITLE, figure=Figure.MEMORY, against=LIMIT, theirs=PRIVATE_MEGABYTES, ours=megabytes)]


async def _answer_and_watch(server: RunningServer) -> int:
    """The most private bytes seen while the prompt is answered."""
    processes = processes_of(server.pid)
    answering = asyncio.create_task(measure(server.url, [document("")]))
    most = 0
    while not answering.done():
        most = max(most, _private_bytes(processes))
        await asyncio.wait([answering], timeout=SAMPLE_SECONDS)
    figures = answering.result()
    if figures.num_prompt_tokens < MIN_PROMPT_TOKENS:
        raise BenchError(f"the prompt has {figures.num_prompt_tokens} tokens only")
    if processes_of(server.pid) != processes:
        raise BenchError(f"the engine was killed and started again within {GROUP_BYTES} bytes")
    return max(most, _private_bytes(processes))


def _private_bytes(processes: Processes) -> int:
    try:
        return processes.private_bytes()
    except OSError as error:
        raise BenchError(f"the engine was killed within {GROUP_BYTES} bytes") from error


def _drop_from_page_cache(file: Path) -> None:
    """Pages are charged to the group that first reads them: it is to be ours, not one that read the file before."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
