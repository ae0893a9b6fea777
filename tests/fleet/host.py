"""One booted host: its systemd runs under systemd-nspawn, in a network namespace and control groups of its own.

A thread boots it again when it reboots, as a machine's firmware would. All that it writes is on a layer of its own over
the base image. Knows nothing of what is installed on it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from . import network
from .cgroups import Cgroups
from .program import FleetError, outcome, run, tail

# systemd-nspawn's exit status for "the host wants to be booted again".
REBOOT_STATUS = 133
BOOT_SECONDS = 60


class Host:
    """A host named `name`; `folder` is on tmpfs and holds its layer, its root and its console's log."""

    def __init__(self, name: str, *, number: int, folder: Path, ssh_config: Path) -> None:
        self.name = name
        self.address = network.address(number)
        self.console = folder / "console.log"
        self._number = number
        self._folder = folder
        self._ssh_config = ssh_config
        self._cgroups = Cgroups(network.namespace(name))
        self._is_stopping = threading.Event()
        self._power = threading.Thread(target=self._boot_until_it_ends)
        self._binds: Mapping[Path, str] = {}

    def start(self, *, image: Path, authorized_key: str, binds: Mapping[Path, str]) -> None:
        """Boot it; `binds` are folders of this machine that it sees, read-only, at the paths given."""
        self._binds = binds
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir(parents=True)
        layers = f"lowerdir={image},upperdir={self._folder}/upper,workdir={self._folder}/work"
        run("mount", "-t", "overlay", "overlay", "-o", layers, self._root)
        (self._root / "root/.ssh/authorized_keys").write_text(authorized_key, encoding="ascii")
        network.connect(self.name, self._number)
        self._cgroups.make()
        self._power.start()

    def wait_until_booted(self) -> None:
        """Sshd answers."""
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            try:
                socket.create_connection((self.address, 22), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise FleetError(f"{self.name} has no sshd after {BOOT_SECONDS} s; its console's end:\n{self.console_tail()}")

    def ssh(self, command: str, *, seconds: float = 60) -> str:
        """What root's command there writes to its standard output. Raises FleetError when it fails."""
        return run(*self._ssh(command), seconds=seconds)

    def ssh_outcome(self, command: str, *, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """The command's end, whatever it is; 255 is ssh's own, when the host cannot be reached."""
        return outcome(*self._ssh(command), seconds=seconds)

    def reboot(self) -> None:
        """Reboot it by its own systemd, and wait until it has booted again."""
        before = self._boot_id()
        self.ssh_outcome("systemctl reboot")
        deadline = time.monotonic() + BOOT_SECONDS
        while self._boot_id() in {before, ""}:
            if time.monotonic() > deadline:
                raise FleetError(f"{self.name} did not reboot; its console's end:\n{self.console_tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it at once, as a power cut does. Its network and its mounts stay."""
        self._is_stopping.set()
        # Again and again: it may be about to boot just now.
        while self._power.is_alive():
            self._cgroups.kill()
            self._power.join(timeout=0.05)
        self._cgroups.remove()

    def console_tail(self) -> str:
        return tail(self.console.read_text(encoding="utf-8", errors="replace")) if self.console.exists() else ""

    @property
    def _root(self) -> Path:
        return self._folder / "root"

    def _ssh(self, command: str) -> list[str]:
        # No shared connection: one that outlived a reboot would hang.
        return ["ssh", "-F", str(self._ssh_config), "-o", "ControlPath=none", self.name, command]

    def _boot_id(self) -> str:
        return self.ssh_outcome("cat /proc/sys/kernel/random/boot_id", seconds=20).stdout.strip()

    def _boot_until_it_ends(self) -> None:
        status = REBOOT_STATUS
        while status == REBOOT_STATUS and not self._is_stopping.is_set():
            with self.console.open("ab") as console:
                status = subprocess.run(
                    self._nspawn(),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    # Else systemd-nspawn's own seccomp filter makes the host's IPAddressDeny a silent no-op.
                    env={**os.environ, "SYSTEMD_SECCOMP": "0"},
                    check=False,
                ).returncode

    def _nspawn(self) -> list[str | Path]:
        return self._cgroups.joined(
            # A killed test run takes its hosts with it.
            "setpriv", "--pdeathsig", "KILL",
            "systemd-nspawn", "--quiet", "--boot", f"--directory={self._root}",
            f"--machine={self.name}", f"--hostname={self.name}",
            f"--network-namespace-path=/run/netns/{network.namespace(self.name)}",
            # There is no systemd on this machine to register with.
            "--register=no", "--keep-unit", "--link-journal=no",
            "--console=read-only", "--kill-signal=SIGRTMIN+3",
            # What a host's systemd needs for its units' sandboxes and address filters.
            "--capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON",
            *(f"--bind-ro={source}:{place}" for source, place in self._binds.items()),
        )  # fmt: skip
