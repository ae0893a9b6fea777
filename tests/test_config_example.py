from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
import yaml

from edge_agent.config import Config
from edge_agent.config_example import Key, example_yaml, known_keys
from edge_agent.config_file import load_config

UNCOMMENTED = re.sub(r"^( *)#(?=\w)", r"\1", example_yaml(), flags=re.MULTILINE)


def loaded(folder: Path, text: str) -> Config:
    file = folder / "agent.yaml"
    file.write_text(text)
    return load_config(file=file, environ={}, overrides={})


def test_the_example_as_it_stands_changes_nothing(tmp_path: Path) -> None:
    assert loaded(tmp_path, example_yaml()) == Config()


def test_the_example_with_everything_uncommented_is_the_defaults(tmp_path: Path) -> None:
    assert loaded(tmp_path, UNCOMMENTED) == Config()


def test_the_example_names_every_key_of_every_section_with_its_default() -> None:
    assert yaml.safe_load(UNCOMMENTED) == json.loads(msgspec.json.encode(Config()))


def test_the_example_says_what_a_key_means_and_may_hold() -> None:
    assert (
        "server:\n"
        "  # Address to listen on; beyond loopback needs allow_unauthenticated.\n"
        "  # Allowed: an IP address or a host name.\n"
        "  #host: 127.0.0.1\n"
        "\n"
        "  # TCP port; 0 lets the system choose one.\n"
        "  # Allowed: a whole number from 0 to 65535.\n"
        "  #port: 8080\n"
    ) in example_yaml()
    assert (
        "  # Type of the KV cache; q8_0 halves its memory; auto takes what was measured to be best.\n"
        "  # Allowed: auto, f16 or q8_0.\n  #kv_cache_type: auto\n"
    ) in example_yaml()


@pytest.mark.parametrize("key", known_keys().values(), ids=lambda key: key.name)
def test_every_key_is_described_in_a_sentence(key: Key) -> None:
    assert re.fullmatch(r"[A-Z].*\.", key.description)


def test_a_key_has_a_variable_of_its_own() -> None:
    keys = known_keys()

    assert keys["server.port"].variable == "EDGE_AGENT_SERVER__PORT"
    assert keys["state_dir"].variable == "EDGE_AGENT_STATE_DIR"
    assert len({key.variable for key in keys.values()}) == len(keys)
