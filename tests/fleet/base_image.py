"""The file system that all hosts start from: a bare Debian with sshd and Python, built once and kept.

It knows how to be built (debootstrap, from the mirror and the release that this machine's own apt uses) and nothing of
hosts, which lay their own layer over it. A build ends with a rename, so there is never half an image.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
from pathlib import Path
from typing import NamedTuple

from .cgroups import Cgroups
from .network import PREFIX
from .program import FleetError, run

# What a device's Debian has before anything is rolled out to it; libgomp1 is what llama.cpp's threads need.
PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "libgomp1",
    "libpam-systemd",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "python3-venv",
    "sudo",
    "systemd",
    "systemd-sysv",
    "udev",
)

# Two minutes on a good line.
BUILD_SECONDS = 1200


class Source(NamedTuple):
    """Where Debian comes from."""

    mirror: str
    release: str


def base_image(cache: Path) -> Path:
    """The image in `cache`, built when it is not there (about two minutes); older ones are removed then.

    The caller sees to it that nobody else builds, or boots from it, in the meantime.
    """
    source = _source()
    image = cache / f"rootfs-{_digest(source)}"
    if not image.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        for other in cache.glob("rootfs-*"):
            _remove(other)
        _build(image, source=source, packages=cache / "packages")
    return image


def unmount_below(folder: Path) -> None:
    """Unmount all that is mounted at or below `folder`, the innermost first."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    for mount in reversed(mounts):
        if mount == str(folder) or mount.startswith(f"{folder}/"):
            run("umount", "--lazy", mount)


def _source() -> Source:
    """The mirror and the release of this machine's own Debian packages."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    lines = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    for line in lines.splitlines():
        mirror, suite, component = line.split()
        if (suite, component) == (release, "main"):
            return Source(mirror=mirror.removesuffix("/"), release=release)
    raise FleetError(
        f"this machine's apt has no source of release {release!r}, component main: hosts are made of the Debian that "
        "runs here; see /etc/apt/sources.list and /etc/apt/sources.list.d, then run apt-get update"
    )


def _digest(source: Source) -> str:
    """Changes with whatever makes the image another one, which is all said in this file."""
    return hashlib.sha256(source.release.encode() + Path(__file__).read_bytes()).hexdigest()[:12]


def _build(image: Path, *, source: Source, packages: Path) -> None:
    unfinished = image.with_name(f"{image.name}.unfinished")
    packages.mkdir(exist_ok=True)
    # Should this process be killed, its debootstrap goes on, until the next run ends whoever is in the group.
    group = Cgroups(f"{PREFIX}build")
    group.make()
    debootstrap = group.joined(
        "debootstrap",
        "--variant=minbase",
        f"--cache-dir={packages}",
        f"--include={','.join(PACKAGES)}",
        source.release,
        unfinished,
        source.mirror,
    )
    run(*debootstrap, seconds=BUILD_SECONDS, environ={"DEBIAN_FRONTEND": "noninteractive"})
    group.remove()
    _make_bootable(unfinished)
    unmount_below(unfinished)
    unfinished.rename(image)


def _make_bootable(root: Path) -> None:
    """Sshd answers, every host makes a machine-id and SSH keys of its own, and nothing waits for a console."""
    run("chroot", root, "systemctl", "enable", "ssh.service")
    (root / "etc/hostname").unlink(missing_ok=True)
    # Both: systemd takes a first boot's machine-id from dbus, where there is one.
    (root / "etc/machine-id").write_text("", encoding="ascii")
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)


def _remove(image: Path) -> None:
    """Its mounts first, which an interrupted build leaves: they lead out of it."""
    unmount_below(image)
    shutil.rmtree(image)
