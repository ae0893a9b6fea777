"""Hosts boot, can be reached, and reboot as machines do."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from .hosts import Fleet, running_fleet

pytestmark = pytest.mark.needs_fleet


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this machine that the hosts see."""
    return tmp_path_factory.mktemp("board")


@pytest.fixture(scope="module")
def fleet(board: Path) -> Iterator[Fleet]:
    with running_fleet(2, binds={board: "/srv/board"}) as fleet:
        yield fleet


def test_every_host_is_a_machine_of_its_own_with_systemd(fleet: Fleet) -> None:
    seen = [host.ssh("hostname; cat /etc/machine-id; cat /proc/1/comm").split() for host in fleet.hosts]
    assert [name for name, _, _ in seen] == ["pi01", "pi02"]
    assert [first for _, _, first in seen] == ["systemd", "systemd"]
    assert seen[0][1] != seen[1][1]


def test_no_unit_of_a_booted_host_has_failed(fleet: Fleet) -> None:
    for host in fleet.hosts:
        assert host.ssh_outcome("systemctl is-system-running --wait").stdout.strip() == "running", host.ssh(
            "systemctl --failed"
        )


def test_hosts_reach_each_other_and_this_machine_and_nobody_else(fleet: Fleet) -> None:
    first, second = fleet.hosts
    reach = "timeout 5 bash -c 'exec 3<>/dev/tcp/{}/{}'"
    assert first.ssh(reach.format(second.address, 22)) == ""
    with socket.create_server((fleet.gateway, 0)) as server:
        assert first.ssh(reach.format(fleet.gateway, server.getsockname()[1])) == ""
    assert "Network is unreachable" in first.ssh_outcome(reach.format("192.0.2.1", 22)).stderr


def test_a_host_sees_this_machines_folder_change_and_cannot_write_it(fleet: Fleet, board: Path) -> None:
    host = fleet.hosts[0]
    (board / "temp").write_text("85000\n", encoding="ascii")
    assert host.ssh("cat /srv/board/temp") == "85000\n"
    assert host.ssh_outcome("touch /srv/board/temp").returncode == 1


def test_a_unit_of_a_host_may_be_limited_and_sandboxed(fleet: Fleet) -> None:
    sandbox = "-p DynamicUser=yes -p ProtectSystem=strict -p PrivateTmp=yes -p IPAddressDeny=any -p StateDirectory=one"
    host = fleet.hosts[0]
    assert host.ssh(f"systemd-run --quiet --pipe --wait {sandbox} touch /var/lib/one/file /tmp/file") == ""
    refused = host.ssh_outcome(
        f"systemd-run --quiet --pipe --wait {sandbox} timeout 3 bash -c 'exec 3<>/dev/tcp/{fleet.gateway}/22'"
    )
    assert refused.returncode != 0
    assert host.ssh_outcome("ls /tmp/file").returncode == 2


def test_a_reboot_keeps_what_was_written_and_the_machine_id(fleet: Fleet) -> None:
    host = fleet.hosts[1]
    before = host.ssh("echo kept >/root/file; cat /etc/machine-id")
    host.reboot()
    assert host.ssh("cat /root/file /etc/machine-id") == f"kept\n{before}"
