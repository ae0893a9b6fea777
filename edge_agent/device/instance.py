"""The device's name in every series: one that stays when its address, its host name or its SD card change.

Addresses are leased and host names are cloned with the card; a board's serial number is neither. It is hashed, since a
serial number identifies a buyer. Asked once, before anything is sampled.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from pathlib import Path

from edge_agent.device.sensor_files import SensorError, SensorFiles
from edge_agent.errors import ConfigError, ModelError
from edge_agent.models.atomic_file import write_atomically

SERIAL_NUMBERS = ("proc/device-tree/serial-number", "sys/firmware/devicetree/base/serial-number")
MACHINE_ID = "etc/machine-id"
KEPT = re.compile(r"edge-[0-9a-f]{12}")

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


def _kept(path: Path) -> str:
    try:
        kept = path.read_bytes()[:64].decode("ascii", "replace").strip()
        if KEPT.fullmatch(kept):
            return kept
        logger.warning("the kept device name is damaged, a new one takes its place file=%s", path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _not_kept(f"{path}: {error.strerror}") from error
    made = f"edge-{secrets.token_hex(6)}"
    try:
        write_atomically(path, f"{made}\n".encode())
    except ModelError as error:
        raise _not_kept(str(error)) from error
    return made


def _not_kept(problem: str) -> ConfigError:
    return ConfigError(
        f"device.instance is null, this board tells no serial number, and no name can be kept ({problem}); "
        "set device.instance, or a state_dir that can be written"
    )
