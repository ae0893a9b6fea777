"""Builds the one `Config` out of defaults, YAML file, environment and command line, or says all that is wrong.

Every source is cut into settings (dotted key, value, where it was written), each is checked by itself, and the last
one of a key wins. What the keys are and what they may hold comes from `config` alone. Run once, before anything starts.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from edge_agent.config import Config
from edge_agent.config_contradictions import contradictions, is_host, shown
from edge_agent.config_example import ADDRESS_KEYS, VARIABLE_PREFIX, Key, known_keys, section_names
from edge_agent.errors import ConfigError

# 1 MiB: some ten thousand times the whole example; PyYAML needs seconds for it on a Pi.
MAX_FILE_BYTES = 1024 * 1024
# 16: four times as deep as any key; without it a line of brackets ends in a RecursionError.
MAX_YAML_DEPTH = 16
# 64: more digits than any number here; YAML 1.1 reads 1:1:1:… in base 60, and a long one takes minutes.
MAX_NUMBER_CHARACTERS = 64
# 50: more than the keys there are to mistake; a file of other data has thousands, each with a search for its like.
MAX_PROBLEMS = 50


class Source(Struct, frozen=True):
    """Where a setting was written: what to call it, and whether keys are spelled as variables there."""

    label: str
    is_environment: bool = False


class Setting(Struct, frozen=True):
    """One value that somebody wrote for a dotted key; whether either is right is not known yet."""

    key: str
    value: object
    source: Source


def load_config(*, file: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object]) -> Config:
    """The effective configuration; `overrides` are the command line's, by dotted key.

    Raises ConfigError, one line for each problem found.
    """
    keys = known_keys()
    settings = [
        *_file_settings(file),
        *_environment_settings(environ, keys),
        *(Setting(key, value, Source("command line")) for key, value in overrides.items()),
    ]
    problems = (problem for setting in settings if (problem := _problem(setting, keys)))
    _raise_if_any(list(itertools.islice(problems, MAX_PROBLEMS)))
    effective = {setting.key: setting for setting in settings}
    config = msgspec.convert(_nested({key: setting.value for key, setting in effective.items()}), Config)
    _raise_if_any(list(contradictions(config, lambda key: effective[key].source.label)))
    return config


def configured_keys(*, file: Path | None, environ: Mapping[str, str]) -> frozenset[str]:
    """The dotted keys that file and environment set, right or wrong. Raises ConfigError for a file that is no YAML."""
    settings = [*_file_settings(file), *_environment_settings(environ, known_keys())]
    return frozenset(setting.key for setting in settings)


def state_dir(config: Config, environ: Mapping[str, str]) -> Path:
    """The folder of all state: `state_dir`, else systemd's, else the user's own. Raises ConfigError for none."""
    home = environ.get("HOME")
    if config.state_dir is not None:
        is_in_home = home and config.state_dir.startswith("~/")
        return Path(f"{home}{config.state_dir[1:]}" if is_in_home else config.state_dir)
    # systemd separates several folders by colons; the first is the unit's main one.
    if first := environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return Path(first)
    if home:
        return Path(home) / ".local" / "state" / "edge-agent"
    raise ConfigError("state_dir is null, and neither STATE_DIRECTORY nor HOME is set; set state_dir to a folder")


# --- the sources -------------------------------------------------------------------------------------------------


def _file_settings(file: Path | None) -> list[Setting]:
    if file is None:
        return []
    content = _read_yaml(_read_bytes(file), label=str(file))
    if content is None:
        return []
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: holds {shown(content)}; give a mapping, such as server: {{port: 8080}}")
    return list(_flattened(content, "", Source(str(file)), section_names(known_keys())))


def _read_bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}; give a file that can be read") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{file}: larger than {MAX_FILE_BYTES} bytes; give a configuration file, not other data")
    return content


def _flattened(content: dict[Any, Any], prefix: str, source: Source, sections: frozenset[str]) -> Iterator[Setting]:
    for name, value in content.items():
        # Quoted where it is no plain word, so that "server.port" in one piece is not taken for the key.
        key = prefix + _word(name)
        if key not in sections:
            yield Setting(key, value, source)
        elif isinstance(value, dict):
            yield from _flattened(value, f"{key}.", source, sections)
        elif value is not None:  # null: a section all of whose keys are commented out
            yield Setting(key, value, source)


def _environment_settings(environ: Mapping[str, str], keys: Mapping[str, Key]) -> Iterator[Setting]:
    by_variable = {key.variable: key for key in keys.values()}
    for variable in sorted(name for name in environ if name.startswith(VARIABLE_PREFIX)):
        source = Source(f"environment variable {_word(variable)}", is_environment=True)
        if key := by_variable.get(variable):
            yield Setting(key.name, _environment_value(environ[variable], key), source)
        else:
            yield Setting(_word(variable), environ[variable], source)


def _environment_value(text: str, key: Key) -> object:
    if key.is_text:
        return None if key.is_nullable and text in {"", "null"} else text
    try:
        return _read_yaml(text, label="")
    except ConfigError:
        return text  # which then is of the wrong type, and is shown as it was written


# --- YAML --------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Safe YAML less aliases, tags, repeated keys, deep nesting and endless numbers: no configuration needs them."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "an alias (*name); write the value out", event.start_mark)
        if event.tag is not None:
            raise yaml.composer.ComposerError(None, None, "a tag (!name); leave it out", event.start_mark)
        if self._depth >= MAX_YAML_DEPTH:
            raise yaml.composer.ComposerError(None, None, "nested too deep; no key is", event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._refuse_endless_number(node)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if isinstance(key_node, yaml.ScalarNode) and key_node.value in seen:
                problem = f"the key {shown(key_node.value)} is here twice; keep one"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(str(key_node.value))
        return super().construct_mapping(node, deep=deep)

    def _refuse_endless_number(self, node: Any) -> None:
        is_number = node.tag in {"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
        if is_number and len(node.value) > MAX_NUMBER_CHARACTERS:
            raise yaml.composer.ComposerError(None, None, "a number too long to be meant", node.start_mark)


def _read_yaml(content: bytes | str, *, label: str) -> object:
    try:
        loader = _Loader(content)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{label}: {place}not YAML that can be used: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        raise ConfigError(f"{label}: byte {error.position}: {error.reason}; give a text file in UTF-8") from error
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{label}: a number or date that nobody can read ({error}); put it in quotes") from error


# --- the problems ------------------------------------------------------------------------------------------------


def _raise_if_any(problems: list[str]) -> None:
    if problems:
        raise ConfigError("\n".join(problems))


def _problem(setting: Setting, keys: Mapping[str, Key]) -> str | None:
    key = keys.get(setting.key)
    if key is None:
        return f"{setting.source.label}: {_unknown_key_problem(setting, keys)}"
    if _is_allowed(setting.value, key):
        return None
    remedy = f"give {key.allowed}{_quoting_hint(setting, key)}"
    inside = _inner_problem(setting.value, key) if key.is_compound else ""
    return f"{setting.source.label}: {key.name} is {shown(setting.value)}{inside}; {remedy}"


def _unknown_key_problem(setting: Setting, keys: Mapping[str, Key]) -> str:
    written = setting.key[:80]
    if setting.source.is_environment:
        closest = _closest(written.upper(), [key.variable for key in keys.values()])
    elif inside := [name.removeprefix(f"{written}.") for name in keys if name.startswith(f"{written}.")]:
        return f"{written} is {shown(setting.value)}; give a mapping with any of the keys {', '.join(inside)}"
    else:
        closest = _closest(written.lower(), list(keys))
    return f"no such key {written}; did you mean {closest}? edge-agent config example lists all keys"


def _closest(written: str, known: list[str]) -> str:
    return difflib.get_close_matches(written, known, n=1, cutoff=0)[0]


def _inner_problem(value: object, key: Key) -> str:
    """What is wrong inside a list or a mapping, and where."""
    try:
        _converted(value, key)
    except msgspec.ValidationError as error:
        return f" ({str(error).replace(f' - at `$.{key.name}`', '').replace(f'`$.{key.name}', '`')})"
    return " (text that cannot be printed, or no number)"


def _converted(value: object, key: Key) -> Config:
    return msgspec.convert(_nested({key.name: value}), Config)


def _is_plain(value: object) -> bool:
    """Neither a NUL in a path nor a newline in a name is meant, nor is infinity, and all break what comes later."""
    match value:
        case float():
            return math.isfinite(value)
        case str():
            return value.isprintable()
        case dict():
            return all(_is_plain(name) and _is_plain(inner) for name, inner in value.items())
        case list():
            return all(_is_plain(inner) for inner in value)
    return True


def _is_allowed(value: object, key: Key) -> bool:
    if not _is_plain(value):
        return False
    try:
        _converted(value, key)
    except msgspec.ValidationError:
        return False
    return key.name not in ADDRESS_KEYS or is_host(str(value))


def _quoting_hint(setting: Setting, key: Key) -> str:
    value = setting.value
    if setting.source.is_environment or value is None:
        return ""
    if isinstance(value, str):
        return ", without quotes" if _is_allowed(_environment_value(value, key), key) else ""
    if not key.is_text:
        return ""
    if isinstance(value, bool):
        return ", in quotes: YAML reads a bare on, off, yes or no as true or false"
    return ", in quotes if it is meant as text"


def _nested(values: Mapping[str, object]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        inner = content
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[name] = value
    return content


def _word(name: object) -> str:
    return name if isinstance(name, str) and name.isidentifier() else shown(name)
