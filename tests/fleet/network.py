"""The fleet's network: a bridge on which this machine is the first address, and a network namespace for each host.

No route leads out of it: what a host needs has to be brought to it.
"""

from __future__ import annotations

from .program import outcome, run

BRIDGE = "edge-fleet"
GATEWAY = "10.77.0.1"
PREFIX = "edge-fleet-"


def address(number: int) -> str:
    """Of the host with that number, from 1 on."""
    return f"10.77.0.{10 + number}"


def namespace(host: str) -> str:
    """The name of its network namespace."""
    return PREFIX + host


def make_bridge() -> None:
    """The bridge, with this machine's address on it."""
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "add", f"{GATEWAY}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")


def connect(host: str, number: int) -> None:
    """Give the host a namespace with `eth0`, whose other end is on the bridge."""
    name, link = namespace(host), _link(host)
    run("ip", "netns", "add", name)
    run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "link", "set", link, "master", BRIDGE, "up")
    run("ip", "-n", name, "address", "add", f"{address(number)}/24", "dev", "eth0")
    for interface in ("lo", "eth0"):
        run("ip", "-n", name, "link", "set", interface, "up")


def remove_network() -> None:
    """All of it, whoever made it: afterwards no name of it is left."""
    for name in namespaces():
        # The link first: it would go with the namespace too, but some time later.
        outcome("ip", "link", "delete", _link(name.removeprefix(PREFIX)))
        run("ip", "netns", "delete", name)
    outcome("ip", "link", "delete", BRIDGE)


def namespaces() -> list[str]:
    """Names of the hosts' namespaces that are there."""
    names = [line.split()[0] for line in run("ip", "netns", "list").splitlines()]
    return [name for name in names if name.startswith(PREFIX)]


def _link(host: str) -> str:
    # An interface's name has 15 characters at most.
    return f"edgef-{host}"[:15]
