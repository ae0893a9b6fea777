"""Runs Ansible's programs on the project's files, with this machine in the place of every device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
ANSIBLE = ROOT / "ansible"
ROLE = ANSIBLE / "roles" / "edge_agent"
PROGRAMS = Path(sys.executable).parent

# Every device of a test inventory is this machine, and becomes nobody else.
HERE = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
RENDER = [
    {
        "hosts": "edge_agents",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Write the list",
                "ansible.builtin.include_role": {"name": "edge_agent", "tasks_from": "file_sd", "public": True},
            },
            {
                "name": "Render the configuration",
                "ansible.builtin.template": {
                    "src": str(ROLE / "templates" / "config.yaml.j2"),
                    "dest": "{{ rendered }}/{{ inventory_hostname }}.yaml",
                    "mode": "0600",
                },
            },
        ],
    }
]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def ansible(program: str, *arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's programs as a user would, in ansible/; `folder` takes what it keeps for itself."""
    environ = {
        **os.environ,
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
    }
    return subprocess.run(
        [PROGRAMS / program, *arguments],
        cwd=ANSIBLE,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def play(plays: list[dict[str, Any]], inventory: Path, folder: Path, **variables: object) -> str:
    """Ansible's output; its exit code is left to the caller's eyes on what it did."""
    playbook = folder / "playbook.yml"
    playbook.write_text(json.dumps(plays), encoding="utf-8")
    done = ansible("ansible-playbook", "-i", inventory, "-e", json.dumps(HERE | variables), playbook, folder=folder)
    return done.stdout + done.stderr


def render(inventory: Path, folder: Path) -> tuple[list[dict[str, Any]], str]:
    """The file_sd list, and Ansible's output; the configurations are in `folder`."""
    path = folder / "file_sd" / "edge-agent.json"
    output = play(RENDER, inventory, folder, rendered=str(folder), edge_agent_file_sd_path=str(path))
    assert path.exists(), output
    targets: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return targets, output


def write_inventory(folder: Path, hosts: dict[str, dict[str, object]], **variables: object) -> Path:
    path = folder / "inventory.json"
    path.write_text(json.dumps({"edge_agents": {"hosts": hosts, "vars": variables}}), encoding="utf-8")
    return path


MODEL = {
    "edge_agent_model_name": "tiny",
    "edge_agent_model_file": "/models/tiny.gguf",
    "edge_agent_model_sha256": "0" * 64,
}
