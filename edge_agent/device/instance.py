"""The device's name in every series: one that stays when its address, its host name or its SD card change.

Addresses are leased and host names are cloned with the card; a board's serial number is neither. It is hashed, since a
serial number identifies a buyer. Asked once, before anything is sampled.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import stat
from pathlib import Path

from edge_agent.device.sensor_files import SensorError, SensorFiles
from edge_agent.errors import ConfigError
from edge_agent.models.partial_file import fsync_folder

SERIAL_NUMBERS = ("proc/device-tree/serial-number", "sys/firmware/devicetree/base/serial-number")
MACHINE_ID = "etc/machine-id"
KEPT = re.compile(r"edge-[0-9a-f]{12}")
MAX_FILE_BYTES = 64

logger = logging.getLogger(__name__)


def instance_id(files: SensorFiles, *, configured: str | None, state_dir: Path) -> str:
    """The configured name, else one made of the serial number or machine-id, else a random one kept in `state_dir`.

    Raises ConfigError when a random one is needed and cannot be kept: a name for one day only would be worse than none.
    """
    if configured is not None:
        return configured
    for path, pattern in (*((path, r"[0-9A-Za-z-]{6,64}") for path in SERIAL_NUMBERS), (MACHINE_ID, r"[0-9a-f]{32}")):
        try:
            text = files.read_text(path)
        except SensorError:
            continue
        # A serial number of zeros is one that was never written.
        if re.fullmatch(pattern, text) and text.strip("0-"):
            return "edge-" + hashlib.sha256(f"edge-agent:{text}".encode()).hexdigest()[:12]
    return _kept(state_dir / "instance-id")


# --- the random one ----------------------------------------------------------------------------------------------


def _kept(path: Path) -> str:
    try:
        kept = _read(path)
        if kept is not None and KEPT.fullmatch(kept):
            return kept
        if kept is not None:
            logger.warning("the kept device name is damaged, a new one takes its place file=%s", path)
        return _write(path, f"edge-{secrets.token_hex(6)}")
    except OSError as error:
        raise _not_kept(f"{path}: {error.strerror}") from error


def _not_kept(problem: str) -> ConfigError:
    return ConfigError(
        f"device.instance is null, this board tells no serial number, and no name can be kept ({problem}); "
        "set device.instance, or a state_dir that can be written"
    )


def _read(path: Path) -> str | None:
    """What the file holds; None for no file, empty text for what is no file of ours."""
    try:
        # Not followed and not waited for: a link or a pipe in its place is not ours.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError:
        return ""
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        content = os.read(descriptor, MAX_FILE_BYTES) if is_file else b""
    finally:
        os.close(descriptor)
    return content.decode("ascii", errors="replace").strip()


def _write(path: Path, instance: str) -> str:
    """Atomically and durably: after a power cut it is the whole id or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{instance}\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_folder(path.parent)
    return instance
