from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config import Config
from edge_agent.config_file import configured_keys, load_config, state_dir
from edge_agent.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agent.yaml"


def loaded(file: Path, text: str) -> Config:
    file.write_text(text)
    return load_config(file=file, environ={}, overrides={})


def complaint(
    file: Path | None = None,
    text: str | bytes = "",
    *,
    environ: dict[str, str] | None = None,
    overrides: dict[str, object] | None = None,
) -> str:
    """What is wrong, with the file's own folder cut off its name."""
    if file is not None:
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as raised:
        load_config(file=file, environ=environ or {}, overrides=overrides or {})
    return str(raised.value).replace(f"{file.parent}/" if file else "\0", "")


# --- where values come from --------------------------------------------------------------------------------------


def test_no_source_at_all_gives_the_defaults() -> None:
    assert load_config(file=None, environ={"PATH": "/bin"}, overrides={}) == Config()


def test_an_empty_file_and_an_empty_section_give_the_defaults(file: Path) -> None:
    assert loaded(file, "") == Config()
    assert loaded(file, "server:\n  # port: 1\nmodel:\n") == Config()


def test_environment_beats_file_and_command_line_beats_both(file: Path) -> None:
    file.write_text("server: {port: 1, max_messages: 11}\nmodel: {threads: 2}\n")
    environ = {"EDGE_AGENT_SERVER__PORT": "3", "EDGE_AGENT_MODEL__THREADS": "4"}

    config = load_config(file=file, environ=environ, overrides={"server.port": 5})

    assert (config.server.port, config.model.threads, config.server.max_messages) == (5, 4, 11)


def test_a_variable_of_a_text_key_is_kept_as_it_is() -> None:
    environ = {"EDGE_AGENT_MODEL__NAME": "off", "EDGE_AGENT_STATE_DIR": "/srv/1: 2", "EDGE_AGENT_MODEL__PATH": "7"}

    config = load_config(file=None, environ=environ, overrides={})

    assert (config.model.name, config.state_dir, config.model.path) == ("off", "/srv/1: 2", "7")


def test_a_variable_of_any_other_key_is_read_as_yaml() -> None:
    environ = {"EDGE_AGENT_MODEL__MMAP": "no", "EDGE_AGENT_SERVER__DRAIN_SECONDS": "1.5"}

    config = load_config(file=None, environ=environ, overrides={})

    assert (config.model.mmap, config.server.drain_seconds) == (False, 1.5)


@pytest.mark.parametrize("text", ["", "null"])
def test_a_variable_can_take_back_a_path(file: Path, text: str) -> None:
    file.write_text("model: {path: /srv/model.gguf}")

    assert load_config(file=file, environ={"EDGE_AGENT_MODEL__PATH": text}, overrides={}).model.path is None


def test_configured_keys_are_those_of_file_and_environment(file: Path) -> None:
    file.write_text("model: {name: house-model}\nserver:\n")

    assert configured_keys(file=file, environ={"EDGE_AGENT_SERVER__PORT": "1", "HOME": "/"}) == {
        "model.name",
        "server.port",
    }


# --- what is wrong with a value ----------------------------------------------------------------------------------

HOST = "an IP address or a host name"
BARE_WORD = "in quotes: YAML reads a bare on, off, yes or no as true or false"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("server: {port: 65536}", "server.port is 65536; give a whole number from 0 to 65535"),
        ("server: {port: true}", "server.port is true; give a whole number from 0 to 65535"),
        ("server: {port: '80'}", "server.port is '80'; give a whole number from 0 to 65535, without quotes"),
        ("server: {port: eighty}", "server.port is 'eighty'; give a whole number from 0 to 65535"),
        ("server: {port:}", "server.port is null; give a whole number from 0 to 65535"),
        ("server: {port: 2026-11-24}", "server.port is 2026-11-24; give a whole number from 0 to 65535"),
        ("telemetry: {port: -1}", "telemetry.port is -1; give a whole number from 0 to 65535 or null"),
        ("server: {drain_seconds: .nan}", "server.drain_seconds is nan; give a number from 0 to 3600"),
        ("scheduler: {max_step_seconds: .inf}", "scheduler.max_step_seconds is inf; give a number from 0.1 to 60"),
        ("server: {keepalive_seconds: 0}", "server.keepalive_seconds is 0; give a number above 0 up to 600"),
        ("model: {mmap: 1}", "model.mmap is 1; give true or false"),
        ("model: {kv_cache_type: q4}", "model.kv_cache_type is 'q4'; give auto, f16 or q8_0"),
        ("log: {level: off}", f"log.level is false; give debug, error, info or warning, {BARE_WORD}"),
        ("model: {name: no}", f"model.name is false; give text, not empty, {BARE_WORD}"),
        ("model: {name: ''}", "model.name is ''; give text, not empty"),
        ("model: {name: 7}", "model.name is 7; give text, not empty, in quotes if it is meant as text"),
        ("model: {path: [a]}", "model.path is ['a']; give text or null, in quotes if it is meant as text"),
        ('model: {path: "a\\0b"}', "model.path is 'a\\x00b'; give text or null"),
        ("server: {host: ''}", f"server.host is ''; give {HOST}"),
        ("server: {host: 127.0.0.256}", f"server.host is '127.0.0.256'; give {HOST}"),
        ("server: {host: 'http://a'}", f"server.host is 'http://a'; give {HOST}"),
        ("telemetry: {host: 'a b'}", f"telemetry.host is 'a b'; give {HOST}"),
        ("server: 5", "server is 5; give a mapping with any of the keys host, port, "),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(file: Path, text: str, expected: str) -> None:
    assert complaint(file, text).startswith(f"agent.yaml: {expected}")


def test_a_long_value_is_shown_cut() -> None:
    assert len(complaint(overrides={"server.host": "a" * 100_000})) < 200


@pytest.mark.parametrize(
    ("text", "unknown", "closest"),
    [
        ("server: {prot: 1}", "server.prot", "server.port"),
        ("model: {contextlength: 1}", "model.contextlength", "model.context_length"),
        ("state_dri: /srv", "state_dri", "state_dir"),
        ("server.port: 1", "'server.port'", "server.port"),
        ("log: {off: 1}", "log.false", "log.level"),
    ],
)
def test_an_unknown_key_is_answered_with_the_closest(file: Path, text: str, unknown: str, closest: str) -> None:
    assert complaint(file, text) == (
        f"agent.yaml: no such key {unknown}; did you mean {closest}? edge-agent config example lists all keys"
    )


@pytest.mark.parametrize("variable", ["EDGE_AGENT_SERVER__PROT", "EDGE_AGENT_SERVER_PORT", "EDGE_AGENT_server__port"])
def test_an_unknown_variable_is_answered_with_the_closest_variable(variable: str) -> None:
    message = complaint(environ={variable: "1"})

    assert message.startswith(f"environment variable {variable}: no such key ")
    assert "did you mean EDGE_AGENT_SERVER__PORT?" in message


@pytest.mark.parametrize("text", ["x", "[", "a: b: c", "'80'"])
def test_a_wrong_variable_is_named_with_its_key(text: str) -> None:
    assert complaint(environ={"EDGE_AGENT_SERVER__PORT": text}) == (
        f"environment variable EDGE_AGENT_SERVER__PORT: server.port is {text.strip(chr(39))!r}; "
        "give a whole number from 0 to 65535"
    )


def test_a_wrong_option_is_named_with_its_key() -> None:
    assert complaint(overrides={"model.threads": 1000}) == (
        "command line: model.threads is 1000; give a whole number from 0 to 512"
    )


def test_all_problems_of_all_sources_are_told_at_once(file: Path) -> None:
    message = complaint(
        file,
        "server: {port: -1, prot: 1}\nlog: {format: xml}",
        environ={"EDGE_AGENT_MODEL__THREADS": "many"},
        overrides={"model.gpu_layers": -2},
    )

    assert [line.split(" ", 3)[:3] for line in message.split("\n")] == [
        ["agent.yaml:", "server.port", "is"],
        ["agent.yaml:", "no", "such"],
        ["agent.yaml:", "log.format", "is"],
        ["environment", "variable", "EDGE_AGENT_MODEL__THREADS:"],
        ["command", "line:", "model.gpu_layers"],
    ]


def test_a_file_of_other_data_gets_fifty_lines_at_most(file: Path) -> None:
    text = "\n".join(f"reading_{number}: 1" for number in range(2000))

    assert complaint(file, text).count("\n") == 49


# --- what is wrong with a file -----------------------------------------------------------------------------------


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"/none\.yaml: No such file or directory; give a file that can be read$"):
        load_config(file=tmp_path / "none.yaml", environ={}, overrides={})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r": Is a directory; give a file"):
        load_config(file=tmp_path, environ={}, overrides={})


def test_an_endless_file_is_refused_after_one_mebibyte() -> None:
    with pytest.raises(ConfigError, match=r"^/dev/zero: larger than 1048576 bytes"):
        load_config(file=Path("/dev/zero"), environ={}, overrides={})


LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"server:\n\tport: 1", r"line 2, column 1: not YAML .*cannot start any token"),
        (b"server: {port: 1", r"line 1, column 17: not YAML .*expected"),
        (b"server:\n  port: 1\n  port: 2\n", r"line 3, column 3: .*the key 'port' is here twice; keep one$"),
        (b"server: {port: 1}\nserver: {port: 1}\n", r"line 2, column 1: .*the key 'server' is here twice"),
        (b"? [a]\n: 1", r"line 1, column 3: .*unhashable"),
        (b"a: 1\n---\na: 1\n", r"line 2, column 1: .*another document"),
        (LAUGHS.encode(), r"line 2, column 8: .*an alias \(\*name\); write the value out$"),
        (b"a: !!python/object/apply:os.system [id]", r"line 1, column 4: .*a tag \(!name\); leave it out$"),
        (b"a: !!int ''", r"line 1, column 4: .*a tag"),
        (b"a: " + b"[" * 100_000, r"line 1, column 19: .*nested too deep"),
        (b"a: " + b":".join([b"1"] * 100_000), r"line 1, column 4: .*a number too long"),
        (b"a: 2026-13-01", r"a number or date that nobody can read .*; put it in quotes$"),
        (b"a: caf\xe9", r"byte 6: invalid continuation byte|byte 6: .*; give a text file in UTF-8$"),
        (b"a: \0", r"byte 3: special characters are not allowed; give a text file in UTF-8$"),
        (b"- 1\n", r"holds \[1\]; give a mapping, such as server: \{port: 8080\}$"),
        (b"just text", r"holds 'just text'; give a mapping"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused_with_the_place(file: Path, text: bytes, expected: str) -> None:
    file.write_bytes(text)

    with pytest.raises(ConfigError, match=rf"^{file}: ({expected})"):
        load_config(file=file, environ={}, overrides={})


# fmt: off
YAML_PIECES = st.sampled_from([
    "server", "port", ": ", ":", "\n", "  ", "\t", "- ", "[", "]", "{", "}", ",", "&a", "*a", "!!int", "!", "<<", "'",
    '"', ">", "|", "#", "%", "---", "?", "1", "0x", "1:1", ".nan", "null", "2026-99-99", "\\", "=", "~", "\x85",
])
# fmt: on


@settings(max_examples=200, deadline=None)
@given(text=st.lists(YAML_PIECES, max_size=12).map("".join) | st.text(max_size=20))
def test_whatever_a_variable_or_a_file_holds_the_answer_is_a_config_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(text.encode("utf-8", "replace"))
    with contextlib.suppress(ConfigError):
        assert isinstance(load_config(file=file, environ={}, overrides={}), Config)
    with contextlib.suppress(ConfigError):
        environ = {"EDGE_AGENT_MODEL__MMAP": text}
        assert isinstance(load_config(file=None, environ=environ, overrides={}), Config)


# --- what contradicts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "pi4.local", "localhost.example", "0x0"])  # noqa: S104
def test_an_address_beyond_the_machine_needs_the_explicit_word(host: str) -> None:
    assert complaint(overrides={"server.host": host}).startswith(
        f"command line: server.host is {host!r}, which may be reached from other machines: anyone there could "
    )

    environ = {"EDGE_AGENT_SERVER__HOST": host, "EDGE_AGENT_SERVER__ALLOW_UNAUTHENTICATED": "true"}
    assert load_config(file=None, environ=environ, overrides={}).server.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_a_loopback_address_needs_no_word(host: str) -> None:
    assert load_config(file=None, environ={}, overrides={"server.host": host}).server.host == host


@pytest.mark.parametrize(
    ("server", "telemetry"),
    [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("localhost", "::1"), ("::1", "::")],  # noqa: S104
)
def test_two_listeners_cannot_share_an_address(server: str, telemetry: str) -> None:
    overrides: dict[str, object] = {"server.host": server, "telemetry.host": telemetry, "telemetry.port": 8080}

    assert complaint(overrides=overrides) == (
        "command line: telemetry.port is 8080, which is server.port on the same address; "
        "give another port, or null to serve /metrics beside the API"
    )


def test_a_quantised_cache_needs_fused_attention() -> None:
    overrides = {"model.kv_cache_type": "q8_0", "model.flash_attention": False}
    with pytest.raises(ConfigError, match=r"q8_0, which needs model\.flash_attention"):
        load_config(file=None, environ={}, overrides=overrides)
    assert load_config(file=None, environ={}, overrides={"model.kv_cache_type": "q8_0"}).model.flash_attention is None


@pytest.mark.parametrize(("telemetry", "port"), [("127.0.0.2", 8080), ("::1", 8080), ("127.0.0.1", 8081)])
def test_listeners_at_different_addresses_are_fine(telemetry: str, port: int) -> None:
    overrides = {"telemetry.host": telemetry, "telemetry.port": port}

    assert load_config(file=None, environ={}, overrides=overrides).telemetry.port == port


def test_two_ports_that_the_system_chooses_are_fine() -> None:
    overrides = {"server.port": 0, "telemetry.port": 0}

    assert load_config(file=None, environ={}, overrides=overrides).telemetry.port == 0


RECEIVER = "https://metrics.example/api/v1/write"


def test_receivers_and_labels_come_from_the_file(file: Path) -> None:
    file.write_text(
        f"""
        telemetry:
          external_labels: {{site: lab, fleet: "7"}}
          remote_write:
            endpoints:
              - {{url: "{RECEIVER}", username: pi, password_file: /etc/edge-agent/password}}
        """
    )
    telemetry = load_config(file=file, environ={}, overrides={}).telemetry
    assert telemetry.external_labels == {"site": "lab", "fleet": "7"}
    (endpoint,) = telemetry.remote_write.endpoints
    assert (endpoint.url, endpoint.username, endpoint.timeout_seconds) == (RECEIVER, "pi", 30.0)


def test_receivers_come_from_a_variable_too() -> None:
    environ = {"EDGE_AGENT_TELEMETRY__REMOTE_WRITE__ENDPOINTS": f"[{{url: '{RECEIVER}'}}]"}
    (endpoint,) = load_config(file=None, environ=environ, overrides={}).telemetry.remote_write.endpoints
    assert endpoint.url == RECEIVER


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        (
            "[{urll: 'http://a'}]",
            "(Object contains unknown field `urll` - at `[0]`); give a list of mappings with url, ",
        ),
        ("[{url: 'ftp://a'}]", "(Expected `str` matching regex '^https?://[^\\\\s@]+$' - at `[0].url`); give a list "),
        ("[{url: 'http://u:p@a/'}]", "at `[0].url`); give a list "),
        ("[{}]", "(Object missing required field `url` - at `[0]`); give a list "),
        ("[{url: 'http://a', ca_file: \"a\\0\"}]", "(text that cannot be printed, or no number); give a list "),
        ("{url: 'http://a'}", "(Expected `array`, got `object`); give a list "),
    ],
)
def test_a_wrong_receiver_is_told_with_its_place(file: Path, endpoints: str, expected: str) -> None:
    message = complaint(file, f"telemetry: {{remote_write: {{endpoints: {endpoints}}}}}")
    assert message.startswith("agent.yaml: telemetry.remote_write.endpoints is ")
    assert expected in message


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("{model: a}", "has 'model', a label of the agent's own; give it another name"),
        ("{instance: a}", "has 'instance', a label of the agent's own; give it another name"),
        ("{7up: a}", "has '7up', which is no label name; give letters, digits and _, no digit first, no __ first"),
        (
            "{__site: a}",
            "has '__site', which is no label name; give letters, digits and _, no digit first, no __ first",
        ),
        ("{site: ''}", "has no value for site, and then there is no such label; give one"),
    ],
)
def test_an_external_label_that_prometheus_would_not_take_is_refused(file: Path, labels: str, expected: str) -> None:
    assert complaint(file, f"telemetry: {{external_labels: {labels}}}") == (
        f"agent.yaml: telemetry.external_labels {expected}"
    )


@pytest.mark.parametrize(
    "url", ["http://[x/", "http://a:99999/", "http://a:0/", "http:///write", "http://a..b/", "http://:1/"]
)
def test_a_receiver_whose_address_is_none_is_refused(file: Path, url: str) -> None:
    assert complaint(file, f"telemetry: {{remote_write: {{endpoints: [{{url: '{url}'}}]}}}}") == (
        f"agent.yaml: telemetry.remote_write.endpoints[0] has the url {url!r}, whose host or port is none; "
        "give one such as https://metrics.example/api/v1/write"
    )


@pytest.mark.parametrize("url", ["http://[::1]:8428/api/v1/write", "https://a_b.example/x?y=1", "http://10.0.0.1"])
def test_a_receiver_may_have_any_kind_of_address(file: Path, url: str) -> None:
    file.write_text(f"telemetry: {{remote_write: {{endpoints: [{{url: '{url}'}}]}}}}")
    (endpoint,) = load_config(file=file, environ={}, overrides={}).telemetry.remote_write.endpoints
    assert endpoint.url == url


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ("username: u", "has one of username and password_file; give both, or neither"),
        ("password_file: /p", "has one of username and password_file; give both, or neither"),
        (
            "username: u, password_file: /p, bearer_token_file: /t",
            "has a bearer token and a username; give one of them",
        ),
    ],
)
def test_half_or_double_credentials_are_refused(file: Path, credentials: str, expected: str) -> None:
    endpoints = f"[{{url: '{RECEIVER}', {credentials}}}]"
    assert complaint(file, f"telemetry: {{remote_write: {{endpoints: {endpoints}}}}}") == (
        f"agent.yaml: telemetry.remote_write.endpoints[0] {expected}"
    )


# --- the folder of all state -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configured", "environ", "expected"),
    [
        ("/srv/agent", {"STATE_DIRECTORY": "/var/lib/a", "HOME": "/home/u"}, "/srv/agent"),
        ("~/agent", {"HOME": "/home/u"}, "/home/u/agent"),
        (None, {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "HOME": "/home/u"}, "/var/lib/a"),
        (None, {"STATE_DIRECTORY": "", "HOME": "/home/u"}, "/home/u/.local/state/edge-agent"),
        (None, {"HOME": "/home/u"}, "/home/u/.local/state/edge-agent"),
    ],
)
def test_state_dir_is_configured_or_systemds_or_the_users(
    configured: str | None, environ: dict[str, str], expected: str
) -> None:
    assert state_dir(Config(state_dir=configured), environ) == Path(expected)


def test_state_dir_without_a_home_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match=r"neither STATE_DIRECTORY nor HOME is set; set state_dir to a folder$"):
        state_dir(Config(), {})
