"""Hosts leave nothing behind on this machine, however they end."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .cgroups import groups_named
from .hosts import RUN, running_fleet
from .network import PREFIX
from .program import run

pytestmark = pytest.mark.needs_fleet

KILLED_RUN = """\
from tests.fleet.hosts import running_fleet
with running_fleet(1):
    print("booted", flush=True)
    input()
"""


def remains() -> dict[str, list[str]]:
    """What there is of any fleet on this machine."""
    links = json.loads(run("ip", "-json", "link", "show"))
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return {
        "groups": sorted(groups_named(PREFIX)),
        "links": [link["ifname"] for link in links if link["ifname"].startswith("edge")],
        "mounts": [mount for mount in mounts if str(RUN) in mount],
        "namespaces": [line for line in run("ip", "netns", "list").splitlines() if line.startswith(PREFIX)],
        "processes": [command.decode() for command in commands if str(RUN).encode() in command],
        "folders": [str(RUN)] if RUN.exists() else [],
    }


NOTHING: dict[str, list[str]] = {
    "groups": [], "links": [], "mounts": [], "namespaces": [], "processes": [], "folders": [],
}  # fmt: skip


def test_a_killed_run_is_cleared_by_the_next_which_leaves_nothing() -> None:
    killed = subprocess.Popen(
        [sys.executable, "-c", KILLED_RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "booted\n"
        killed.send_signal(signal.SIGKILL)
    assert remains()["mounts"] != []
    with running_fleet(1) as fleet:
        assert fleet.hosts[0].ssh("hostname") == "pi01\n"
    assert remains() == NOTHING
