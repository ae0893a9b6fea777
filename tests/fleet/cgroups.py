"""Control groups of one's own: one in each hierarchy that this machine mounts, below the group that the tests run in.

A host's systemd needs them. All who are in them can be found and ended, even when whoever started them is gone. Knows
the mixed layout (several v1 hierarchies and one v2) and v2 alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from .program import FleetError

# devices, blkio, freezer, cpuset: a host's systemd does without them.
HIERARCHIES = frozenset({"", "name=systemd", "pids", "cpu", "cpuacct", "memory"})
END_SECONDS = 20
# Joins the groups whose member files stand before "--", then becomes the command that stands after it.
JOIN = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit; shift; done; shift; exec "$@"'


class Cgroups:
    """The groups named `name`; made by `make`, and gone after `remove`, with all who are in them."""

    def __init__(self, name: str) -> None:
        self._folders = [parent / name for parent in _own_groups()]

    def joined(self, *command: str | Path) -> list[str | Path]:
        """The command that runs this one in the groups."""
        return ["sh", "-c", JOIN, "sh", *(folder / "cgroup.procs" for folder in self._folders), "--", *command]

    def make(self) -> None:
        for folder in self._folders:
            folder.mkdir(exist_ok=True)

    def processes(self) -> set[int]:
        """All processes in the groups and below them."""
        return {
            int(line)
            for folder in self._folders
            # Not rglob, which fails on a group that goes while it looks; a dying host's go all the time.
            for group, _, _ in os.walk(folder)
            for line in _lines(Path(group) / "cgroup.procs")
        }

    def kill(self) -> None:
        """SIGKILL for all who are in the groups now."""
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def remove(self) -> None:
        """End whoever is in the groups, at once, and remove the groups."""
        deadline = time.monotonic() + END_SECONDS
        while processes := self.processes():
            self.kill()
            if time.monotonic() > deadline:
                raise FleetError(f"processes {sorted(processes)} outlive a SIGKILL by {END_SECONDS} s")
            time.sleep(0.02)
        for folder in self._folders:
            for group, _, _ in os.walk(folder, topdown=False):
                with contextlib.suppress(FileNotFoundError):
                    Path(group).rmdir()


def groups_named(prefix: str) -> set[str]:
    """Names of the groups that an earlier run left."""
    return {folder.name for parent in _own_groups() for folder in parent.glob(f"{prefix}*/")}


def _own_groups() -> list[Path]:
    """The folders of the groups that this process is in. Raises FleetError where hosts cannot have their own."""
    mounts = dict(_mounts())
    groups = [
        mounts[controllers] / path.lstrip("/")
        for controllers, path in _memberships()
        if controllers in mounts and not HIERARCHIES.isdisjoint(controllers.split(","))
    ]
    if not any(controllers in {"", "name=systemd"} for controllers in mounts):
        raise FleetError(
            "no cgroup file system that systemd could use is mounted on this machine, so no host can boot on it: "
            "mount cgroup2 at /sys/fs/cgroup, or run the tests where systemd or a container runtime did"
        )
    return groups


def _memberships() -> Iterator[tuple[str, str]]:
    """Controllers ("" for v2) and path of each group; cgroups(7), /proc/pid/cgroup."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        yield controllers, path


def _mounts() -> Iterator[tuple[str, Path]]:
    """Controllers ("" for v2) and mount point of each hierarchy; proc(5), /proc/pid/mountinfo."""
    named = {controllers for controllers, _ in _memberships()}
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        place, _, source = line.partition(" - ")
        file_system, _, options = source.split(" ", 2)
        if file_system == "cgroup2":
            yield "", Path(place.split()[4])
        elif file_system == "cgroup":
            yield (
                next(one for one in named if one and set(one.split(",")) <= set(options.split(","))),
                Path(place.split()[4]),
            )


def _lines(members: Path) -> list[str]:
    # A group may go while it is looked at.
    with contextlib.suppress(FileNotFoundError, OSError):
        return members.read_text(encoding="ascii").split()
    return []
