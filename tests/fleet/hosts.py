"""The fleet: boots hosts `pi01`, `pi02`, … on this machine, and leaves nothing of them behind.

One fleet at a time on one machine; whoever comes second waits. A fleet begins by clearing what a killed run has left:
processes, mounts, network, control groups. Needs root and the programs of `PROGRAMS`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from . import network
from .base_image import base_image, unmount_below
from .cgroups import Cgroups, groups_named
from .host import Host
from .program import FleetError, outcome, run

PROGRAMS = {
    "apt-get": "apt",
    "chroot": "coreutils",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "mount": "mount",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "systemd-nspawn": "systemd-container",
}
# Survives between runs: it holds the base image.
CACHE = Path("/var/tmp/edge-agent-fleet")  # noqa: S108 (a fixed place is the point; only root writes what lies in it)
RUN = Path("/run/edge-agent-fleet")
LOCK = Path("/run/lock/edge-agent-fleet")
# The story takes four minutes.
LOCK_SECONDS = 1200
SSH_CONFIG = """\
Host {name} {address}
  HostName {address}
"""
SSH_CONFIG_OF_ALL = """\
Host *
  User root
  IdentityFile {run}/id_ed25519
  IdentitiesOnly yes
  BatchMode yes
  ConnectTimeout 5
  ServerAliveInterval 5
  # Every run's hosts are new machines at the same addresses.
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  ControlMaster auto
  ControlPersist 60
  ControlPath {run}/ssh-%n
"""


class Fleet:
    """Booted hosts, the address at which they reach this machine, and the ssh configuration that knows them."""

    def __init__(self, num_hosts: int) -> None:
        self.gateway = network.GATEWAY
        self.ssh_config = RUN / "ssh_config"
        self.hosts = [
            Host(name, number=number, folder=RUN / name, ssh_config=self.ssh_config)
            for number in range(1, num_hosts + 1)
            for name in (f"pi{number:02}",)
        ]


@contextmanager
def running_fleet(num_hosts: int, *, cache: Path = CACHE, binds: Mapping[Path, str] | None = None) -> Iterator[Fleet]:
    """A fleet for the length of the block; `binds` are folders of this machine that every host sees, read-only.

    Raises FleetError when this machine cannot have one, with what is missing.
    """
    check_requirements()
    with _one_at_a_time():
        clear()
        image = base_image(cache)
        fleet = Fleet(num_hosts)
        with ExitStack() as afterwards:
            afterwards.callback(clear)
            key = _prepare(fleet)
            for host in fleet.hosts:
                afterwards.callback(host.stop)
                host.start(image=image, authorized_key=key, binds=binds or {})
            for host in fleet.hosts:
                host.wait_until_booted()
            yield fleet


def check_requirements() -> None:
    """Raises FleetError with what this machine lacks."""
    if os.geteuid() != 0:
        raise FleetError("only root may boot hosts: run the tests as root, or leave them out with -m 'not needs_fleet'")
    if not _has_capabilities():
        raise FleetError(
            "root may not mount file systems or make networks here, as in a container without privileges: run the "
            "tests on a machine or in a VM, or leave these out with -m 'not needs_fleet'"
        )
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        raise FleetError(f"programs are missing: apt-get install -y --no-install-recommends {' '.join(missing)}")


def _has_capabilities() -> bool:
    """capabilities(7); proc(5), /proc/pid/status."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)
    net_admin, sys_admin = 12, 21
    return bool(effective >> net_admin & 1 and effective >> sys_admin & 1)


def clear() -> None:
    """Remove whatever there is of a fleet: the processes first, since they hold the rest."""
    for master in RUN.glob("ssh-*"):
        outcome("ssh", "-o", f"ControlPath={master}", "-O", "exit", "any")
    for name in groups_named(network.PREFIX):
        Cgroups(name).remove()
    network.remove_network()
    unmount_below(RUN)
    with suppress(FileNotFoundError):
        RUN.rmdir()


def _prepare(fleet: Fleet) -> str:
    """The fleet's folder, network and ssh; the answer is the key that hosts let in."""
    RUN.mkdir()
    # On a disk, journald's fsync would make a boot twenty seconds long.
    run("mount", "-t", "tmpfs", "-o", "size=6G,mode=0700", "edge-agent-fleet", RUN)
    network.make_bridge()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", RUN / "id_ed25519")
    hosts = "".join(SSH_CONFIG.format(name=host.name, address=host.address) for host in fleet.hosts)
    fleet.ssh_config.write_text(hosts + SSH_CONFIG_OF_ALL.format(run=RUN), encoding="utf-8")
    return (RUN / "id_ed25519.pub").read_text(encoding="ascii")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    deadline = time.monotonic() + LOCK_SECONDS
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise FleetError(f"another fleet has been running for {LOCK_SECONDS} s ({LOCK} is held)") from None
                time.sleep(0.5)
        yield
