"""Runs the project's playbooks against hosts of a fleet, as an operator does: ansible-playbook in ansible/."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from .hosts import Fleet
from .program import FleetError, outcome, tail

PLAY_SECONDS = 600


class Playbook:
    """ansible-playbook with an inventory of all hosts of the fleet, in the group `edge_agents`."""

    def __init__(self, fleet: Fleet, *, project: Path, folder: Path, variables: dict[str, Any]) -> None:
        self.output = ""
        self._project = project
        self._folder = folder
        self._ssh_config = fleet.ssh_config
        hosts = {host.name: {"ansible_host": host.address} for host in fleet.hosts}
        self._inventory = folder / "inventory.json"
        self._inventory.write_text(
            json.dumps({"edge_agents": {"hosts": hosts, "vars": {"ansible_user": "root", **variables}}}),
            encoding="utf-8",
        )

    def run(self, name: str) -> dict[str, dict[str, int]]:
        """The recap: for each host how many tasks were ok, changed, … Raises FleetError when a task failed."""
        done = outcome(
            Path(sys.executable).parent / "ansible-playbook",
            "--inventory",
            self._inventory,
            f"playbooks/{name}",
            cwd=self._project / "ansible",
            seconds=PLAY_SECONDS,
            environ={
                "ANSIBLE_HOME": str(self._folder / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                # The hosts' key, and connections that the fleet ends.
                "ANSIBLE_SSH_ARGS": f"-F {self._ssh_config}",
            },
        )
        self.output = done.stdout + done.stderr
        if done.returncode != 0:
            raise FleetError(f"playbooks/{name} ended with {done.returncode}:\n{tail(self.output, lines=60)}")
        return recap(done.stdout)


def recap(output: str) -> dict[str, dict[str, int]]:
    """The counts of the lines after PLAY RECAP, by host."""
    lines = output.partition("PLAY RECAP")[2].splitlines()[1:]
    hosts = (re.fullmatch(r"(\S+)\s+: (.+)", line) for line in lines)
    return {
        match[1]: {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", match[2])} for match in hosts if match
    }
