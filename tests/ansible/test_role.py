"""The role's files by themselves: what they say is consistent, and what they render is what the product takes.

A rollout to booted devices is in tests/fleet.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import pytest

from edge_agent.config import RemoteWriteEndpoint
from edge_agent.config_file import load_config

from .playing import ANSIBLE, MODEL, ROLE, ROOT, ansible, load, play, render, write_inventory

# --- what is written about the role is true ----------------------------------------------------------------------


def test_argument_specs_and_defaults_name_the_same_variables_with_the_same_values() -> None:
    options = load(ROLE / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    specified = {name: option["default"] for name, option in options.items() if "default" in option}
    assert specified == load(ROLE / "defaults" / "main.yml")
    required = {name for name, option in options.items() if option.get("required")}
    assert required == {"edge_agent_model_name", "edge_agent_model_file", "edge_agent_model_sha256"}
    assert set(options) == set(specified) | required


def test_readme_names_every_variable_and_no_other() -> None:
    specs = load(ROLE / "meta" / "argument_specs.yml")["argument_specs"]
    known = {name for entry in specs.values() for name in entry["options"]} | {"edge_agent_serial"}
    readme = (ROLE / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(edge_agent_\w+)", readme)) == known


def test_an_endpoint_takes_what_the_product_takes_with_secrets_given_by_value() -> None:
    options = load(ROLE / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    endpoint = options["edge_agent_remote_write_endpoints"]["options"]
    in_files = {"bearer_token": "bearer_token_file", "password": "password_file"}
    assert {in_files.get(name, name) for name in endpoint} == set(RemoteWriteEndpoint.__struct_fields__)
    assert [name for name, option in endpoint.items() if option.get("no_log")] == list(in_files)


def test_the_unit_is_the_one_of_the_repository_and_lies_where_the_role_says() -> None:
    unit = ROLE / "files" / "edge-agent.service"
    assert unit.resolve() == ROOT / "systemd" / "edge-agent.service"
    variables, text = load(ROLE / "vars" / "main.yml"), unit.read_text(encoding="utf-8")
    program, config = (
        f"{variables['edge_agent_home']}/current/bin/edge-agent",
        f"{variables['edge_agent_etc']}/config.yaml",
    )
    assert f"ExecStart={program} serve --config {config}\n" in text
    assert f"User={variables['edge_agent_user']}\n" in text
    assert f"StateDirectory={Path(variables['edge_agent_state']).name}\n" in text


def test_tasks_that_hold_secrets_do_not_log_them() -> None:
    tasks = load(ROLE / "tasks" / "credentials.yml")
    assert len(tasks) == 3
    assert all(task["no_log"] is True for task in tasks)


def test_lint_has_nothing_to_say(tmp_path: Path) -> None:
    done = ansible("ansible-lint", "--offline", "--strict", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Profile 'production' was required, and it passed" in done.stderr


@pytest.mark.parametrize("playbook", ["deploy.yml", "file_sd.yml"])
def test_playbooks_are_ones_that_ansible_can_read(playbook: str, tmp_path: Path) -> None:
    done = ansible(
        "ansible-playbook",
        *("-i", "inventory.example.yml", "--syntax-check", f"playbooks/{playbook}"),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- what is rendered --------------------------------------------------------------------------------------------


def test_example_inventory_renders_configurations_that_the_product_takes(tmp_path: Path) -> None:
    targets, output = render(ANSIBLE / "inventory.example.yml", tmp_path)
    configs = {
        name: load_config(file=tmp_path / f"{name}.yaml", environ={}, overrides={})
        for name in ("greenhouse-1", "greenhouse-2", "boat-1")
    }
    assert "failed=0" in output
    greenhouse, boat = configs["greenhouse-1"], configs["boat-1"]
    assert (greenhouse.device.instance, greenhouse.server.host, greenhouse.server.port) == (
        "greenhouse-1",
        "127.0.0.1",
        8080,
    )
    assert (greenhouse.telemetry.host, greenhouse.telemetry.port) == ("0.0.0.0", 9464)  # noqa: S104 (what is rolled out)
    assert greenhouse.model.path == "/var/lib/edge-agent/models/SmolLM2-135M-Instruct.Q4_1.gguf"
    assert (greenhouse.model.name, greenhouse.scheduler.max_sequences) == ("smollm2-135m-instruct", 2)
    assert greenhouse.telemetry.remote_write.endpoints == ()
    assert boat.telemetry.external_labels == {"site": "boat"}
    assert boat.telemetry.remote_write.endpoints == (
        RemoteWriteEndpoint(
            url="https://metrics.example/api/v1/write",
            bearer_token_file="/etc/edge-agent/receiver-0-6e285e0a.bearer_token",  # noqa: S106 (a path)
        ),
    )
    # The boat has /metrics on its loopback: nobody could scrape it.
    assert targets == [
        {"targets": ["192.0.2.11:9464"], "labels": {"instance": "greenhouse-1", "site": "greenhouse"}},
        {"targets": ["192.0.2.12:9464"], "labels": {"instance": "greenhouse-2", "site": "greenhouse"}},
    ]


def test_secrets_are_named_by_their_files_and_are_not_in_the_configuration(tmp_path: Path) -> None:
    endpoints = [
        {"url": "http://a.example/write", "bearer_token": "sesame-1"},
        {
            "url": "https://b.example/write",
            "username": "u",
            "password": "sesame-2",
            "ca_file": "/here/ca.pem",
            "timeout_seconds": 5,
        },
    ]
    render(write_inventory(tmp_path, {"one": {"edge_agent_remote_write_endpoints": endpoints}}, **MODEL), tmp_path)
    config = load_config(file=tmp_path / "one.yaml", environ={}, overrides={})
    assert config.telemetry.remote_write.endpoints == (
        RemoteWriteEndpoint(
            url="http://a.example/write",
            bearer_token_file="/etc/edge-agent/receiver-0-79da3dd4.bearer_token",  # noqa: S106
        ),
        RemoteWriteEndpoint(
            url="https://b.example/write",
            username="u",
            password_file="/etc/edge-agent/receiver-1-057b3a4c.password",  # noqa: S106
            ca_file="/etc/edge-agent/receiver-1-057b3a4c.ca_file",
            timeout_seconds=5,
        ),
    )
    assert "sesame" not in (tmp_path / "one.yaml").read_text(encoding="utf-8")


def test_file_sd_list_follows_each_devices_own_variables_in_the_order_of_names(tmp_path: Path) -> None:
    hosts: dict[str, dict[str, object]] = {
        "z-last": {},
        "named": {"ansible_host": "198.51.100.4", "edge_agent_instance": "shed", "edge_agent_telemetry_port": 9999},
        "far": {"ansible_host": "2001:db8::7", "edge_agent_external_labels": {"site": "hill", "floor": "2"}},
        "jump": {"ansible_host": "198.51.100.5", "edge_agent_scrape_address": "jump.example"},
        "pushing": {"edge_agent_telemetry_host": "::1"},
        "overridden": {"edge_agent_config": {"telemetry": {"port": 9465}}},
        "silent": {"edge_agent_config": {"telemetry": {"host": "localhost"}}},
    }
    targets, _ = render(write_inventory(tmp_path, hosts, **MODEL), tmp_path)
    assert targets == [
        {"targets": ["[2001:db8::7]:9464"], "labels": {"floor": "2", "instance": "far", "site": "hill"}},
        {"targets": ["jump.example:9464"], "labels": {"instance": "jump"}},
        {"targets": ["198.51.100.4:9999"], "labels": {"instance": "shed"}},
        {"targets": ["overridden:9465"], "labels": {"instance": "overridden"}},
        {"targets": ["z-last:9464"], "labels": {"instance": "z-last"}},
    ]


# --- preflight ---------------------------------------------------------------------------------------------------


PREFLIGHT = [
    {
        "hosts": "edge_agents",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Take the place of the device's facts",
                "ansible.builtin.set_fact": {
                    "service_mgr": "{{ init | default('systemd') }}",
                    "userspace_bits": "{{ bits | default('64') }}",
                    "architecture": "x86_64",
                    "memtotal_mb": "{{ memory | default(2000) }}",
                    "cacheable": True,
                },
            },
            {
                "name": "Check",
                "ansible.builtin.include_role": {"name": "edge_agent", "tasks_from": "preflight", "public": True},
            },
        ],
    }
]


def test_preflight_says_of_every_obstacle_what_to_do(tmp_path: Path) -> None:
    model, wheels = tmp_path / "tiny.gguf", tmp_path / "wheels"
    model.write_bytes(b"GGUF" * 1024 * 1024)
    wheels.mkdir()
    (wheels / "edge_agent-0.1.0-py3-none-any.whl").write_bytes(b"")
    empty = tmp_path / "empty"
    empty.mkdir()
    hosts: dict[str, dict[str, object]] = {
        "sound": {},
        "other_init": {"init": "openrc"},
        "narrow": {"bits": "32"},
        "old": {"edge_agent_python": "/nowhere/python3"},
        "no_wheels": {"edge_agent_wheelhouse": str(empty)},
        "no_model": {"edge_agent_model_file": str(tmp_path / "missing.gguf")},
        "wrong_model": {"edge_agent_model_sha256": "a" * 64},
        "mistyped": {"edge_agent_model_sha256": "sha256:abc"},
        "small": {"memory": 515},
    }
    variables = {
        "edge_agent_python": sys.executable,
        "edge_agent_wheelhouse": str(wheels),
        "edge_agent_model_name": "tiny",
        "edge_agent_model_file": str(model),
        "edge_agent_model_sha256": hashlib.sha256(b"GGUF" * 1024 * 1024).hexdigest(),
    }
    output = play(PREFLIGHT, write_inventory(tmp_path, hosts, **variables), tmp_path)
    failed = {
        name: json.loads(result)["msg"] for name, result in re.findall(r"fatal: \[(\w+)\]: FAILED! => (\{.*\})", output)
    }
    expected = {
        "other_init": "runs openrc with a 64-bit",
        "narrow": "install the 64-bit Raspberry Pi OS",
        "old": "apt-get install python3-venv; or set edge_agent_python",
        "no_wheels": f"{empty} on the controller must hold the wheels of edge-agent for x86_64, and holds 0 wheels",
        "no_model": "missing.gguf on the controller is not there. Fetch it with: edge-agent models pull",
        "wrong_model": f"not {'a' * 64}. Fetch it with",
        "mistyped": "edge_agent_model_sha256 (sha256:abc: 64 digits of 0-9a-f",
        "small": "has 515 MB of memory; tiny.gguf has 4 MB, and 512 MB beyond it are needed",
    }
    assert failed.keys() == expected.keys(), output
    assert {name: text for name, text in expected.items() if text not in failed[name]} == {}, failed
