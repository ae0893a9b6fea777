"""Getting one model file: its sources in order, room on the disk, and the digest before the file gets its name.

Synchronous; run by the command line. A file that is not the right one is deleted and never seen under its real name.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from edge_agent.errors import DiskSpaceError, DownloadError, ModelError, ModelFileError
from edge_agent.models.byte_size import spell_bytes
from edge_agent.models.partial_file import PartialFile
from edge_agent.models.sources import parse_source
from edge_agent.models.transfer import PATIENT, DownloadLimits, Expected, Progress, Surroundings, fill

log = logging.getLogger(__name__)

# 64 MiB stay free: a full root file system breaks more than a download.
RESERVED_BYTES = 64 * 1024 * 1024


class DownloadPlan(Struct, frozen=True, kw_only=True):
    """Which file is wanted, from where, and how it is recognised."""

    name: str
    target: Path
    sources: list[str]
    expected: Expected


def free_disk_bytes(folder: Path) -> int:
    """What an ordinary user may still write there."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


class Downloader:
    """Fetches files one at a time. Free space and pausing are replaceable."""

    def __init__(
        self,
        *,
        limits: DownloadLimits = PATIENT,
        free_bytes: Callable[[Path], int] = free_disk_bytes,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limits = limits
        self._free_bytes = free_bytes
        self._pause = pause

    def fetch(
        self,
        plan: DownloadPlan,
        *,
        progress: Progress,
        environ: Mapping[str, str],
        check: Callable[[Path], object],
    ) -> str:
        """Put the file at `plan.target` and return its sha256. `check` raises ModelFileError for what must not be used.

        Raises DownloadError when no source has the right file, DiskSpaceError when it does not fit.
        """
        folder = plan.target.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DownloadError(f"{folder} cannot be made: {error.strerror}; check models.dir") from error
        around = Surroundings(
            limits=self._limits,
            environ=environ,
            progress=progress,
            pause=self._pause,
            make_room=lambda num_bytes: self._make_room(folder, num_bytes),
        )
        with PartialFile(plan.target) as partial:
            return self._fetch_from_any(plan, partial, around, check)

    def _fetch_from_any(
        self, plan: DownloadPlan, partial: PartialFile, around: Surroundings, check: Callable[[Path], object]
    ) -> str:
        failures = []
        for source in plan.sources:
            try:
                return _fetch_from(source, plan, partial, around, check)
            except DiskSpaceError:
                raise
            except ModelError as error:
                # What follows a question mark may be a signature.
                shown_source = source.partition("?")[0]
                log.info("source did not deliver: model=%s source=%s reason=%s", plan.name, shown_source, error)
                failures.append(str(error))
        if partial.num_bytes == 0:
            partial.discard()
        raise DownloadError(
            f"{plan.name} could not be fetched: {'; '.join(failures)}. "
            f"Check the network, or put the file at {plan.target} yourself."
        )

    def _make_room(self, folder: Path, num_bytes: int) -> None:
        free = self._free_bytes(folder)
        needed = num_bytes + RESERVED_BYTES
        if free < needed:
            raise DiskSpaceError(
                f"{spell_bytes(needed)} ({needed} bytes) are needed in {folder} and {spell_bytes(free)} ({free} bytes) "
                f"are free; make room there, or set models.dir to another disk"
            )


def _fetch_from(
    source: str, plan: DownloadPlan, partial: PartialFile, around: Surroundings, check: Callable[[Path], object]
) -> str:
    """One source, and once more from the start if what an earlier download had left may be to blame."""
    while True:
        if plan.expected.size_bytes is not None and partial.num_bytes > plan.expected.size_bytes:
            partial.restart()
        fill(parse_source(source), partial, expected=plan.expected, around=around)
        was_resumed = partial.is_resumed
        try:
            _verify(plan, partial, check)
        except ModelFileError:
            partial.restart()
            if not was_resumed:
                raise
            log.info("what an earlier download left was not right, starting over: model=%s", plan.name)
        else:
            partial.finish()
            return partial.sha256


def _verify(plan: DownloadPlan, partial: PartialFile, check: Callable[[Path], object]) -> None:
    expected = plan.expected
    if expected.size_bytes not in {None, partial.num_bytes}:
        raise ModelFileError(f"the file has {partial.num_bytes} bytes, the catalog says {expected.size_bytes}")
    if expected.sha256 not in {None, partial.sha256}:
        raise ModelFileError(f"the file's sha256 is {partial.sha256}, the catalog says {expected.sha256}")
    check(partial.path)
