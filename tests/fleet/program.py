"""Runs this machine's programs (ip, mount, ssh …) to their end, with a readable error when one fails.

It knows no program in particular.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


class FleetError(Exception):
    """What stops a fleet; the message says what to do, or shows what the program said."""


def run(*command: str | Path, seconds: float = 60, environ: Mapping[str, str] | None = None) -> str:
    """What the program wrote to its standard output. Raises FleetError when it fails or takes longer."""
    done = outcome(*command, seconds=seconds, environ=environ)
    if done.returncode != 0:
        raise FleetError(f"{_shown(command)} ended with {done.returncode}:\n{tail(done.stdout + done.stderr)}")
    return done.stdout


def outcome(
    *command: str | Path, seconds: float = 60, environ: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The program's end, whatever it is."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(environ or {})},
            cwd=cwd,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        said = b"".join(part for part in (expired.stdout, expired.stderr) if isinstance(part, bytes))
        raise FleetError(
            f"{_shown(command)} was ended after {seconds:.0f} s:\n{tail(said.decode(errors='replace'))}"
        ) from None


def tail(text: str, *, lines: int = 30) -> str:
    """The end of what a program wrote, which is where it says what was wrong."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def _shown(command: tuple[str | Path, ...]) -> str:
    return " ".join(str(part) for part in command)
