"""What a suite measured, with where and how, kept as one JSON file a suite: a report is made of whatever is there."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from .comparison import Row

PROCESSOR = re.compile(r"^(?:model name|Model)\s*:\s*(.+)$", re.MULTILINE)
# Of a file that this module writes itself, some kilobytes.
MAX_FILE_BYTES = 1024 * 1024


class SuiteResult(msgspec.Struct, frozen=True, kw_only=True):
    """One suite's rows and their circumstances. `settings` are what our servers were told beyond the suite's own."""

    suite: str
    day: str
    machine: str
    num_threads: int
    num_rounds: int
    llama_cpp_python: str
    settings: dict[str, object]
    rows: list[Row]


def write_result(folder: Path, result: SuiteResult) -> None:
    """Replace the suite's file."""
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(result), indent=1)
    (folder / f"{result.suite}.json").write_bytes(text + b"\n")


def read_results(folder: Path, suites: Sequence[str]) -> list[SuiteResult]:
    """Those of the suites that have been measured, in this order. Raises msgspec.ValidationError for a broken file."""
    files = [folder / f"{suite}.json" for suite in suites]
    return [_read(file) for file in files if file.exists()]


def _read(file: Path) -> SuiteResult:
    with file.open("rb") as stream:
        return msgspec.json.decode(stream.read(MAX_FILE_BYTES), type=SuiteResult)


def machine(cpuinfo: str, *, num_cpus: int) -> str:
    """The processor, as /proc/cpuinfo names it or by its architecture, and how many of them."""
    found = PROCESSOR.search(cpuinfo)
    return f"{found[1].strip() if found else 'unnamed'} ({platform.machine()}), {num_cpus} CPUs"
