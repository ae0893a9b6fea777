"""Small text files of procfs and cgroupfs: what cannot be read is empty, and no more is read than such files hold."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)

# 64 KiB: meminfo and memory.stat have 2; of cpuinfo the first CPUs are enough.
MAX_BYTES = 64 * 1024


def read_kernel_file(path: Path) -> str:
    """The text of the file; "" where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode("ascii", errors="replace")
    except OSError as error:
        log.debug("not readable, taken as absent: file=%s error=%s", path, error.strerror)
        return ""
