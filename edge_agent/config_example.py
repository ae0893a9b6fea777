"""The configuration in words: every key with what it may hold, and the example file made of them.

All of it is derived from the structs in `config`. It knows no source of values; `config_file` names keys and their
allowed values in its messages with what stands here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import yaml
from msgspec import Struct, inspect

from edge_agent.config import Config, Section

VARIABLE_PREFIX = "EDGE_AGENT_"
ADDRESS_KEYS = ("server.host", "telemetry.host")

PREAMBLE = """\
# edge-agent's configuration: every key, with its default. Take the # away from a key to change it.
# Each key may also come from the environment, and then wins over this file: EDGE_AGENT_SERVER__PORT=8081
# sets server.port. The options of edge-agent serve win over both.
"""


class Key(Struct, frozen=True):
    """One key of the configuration, as its section declares it."""

    name: str
    kind: inspect.Type
    default: object
    description: str

    @property
    def is_text(self) -> bool:
        return any(isinstance(kind, inspect.StrType | inspect.LiteralType) for kind in _alternatives(self.kind))

    @property
    def is_nullable(self) -> bool:
        return any(isinstance(kind, inspect.NoneType) for kind in _alternatives(self.kind))

    @property
    def is_compound(self) -> bool:
        return any(isinstance(kind, inspect.DictType | inspect.VarTupleType) for kind in _alternatives(self.kind))

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return VARIABLE_PREFIX + self.name.replace(".", "__").upper()

    @property
    def allowed(self) -> str:
        """What it may hold, in plain words."""
        if self.name in ADDRESS_KEYS:
            return "an IP address or a host name"
        return " or ".join(_in_words(kind) for kind in _alternatives(self.kind))


def known_keys() -> dict[str, Key]:
    """Every key by its dotted name, in the order of declaration."""
    return {key.name: key for key in _keys_of(Config(), "")}


def _keys_of(section: Section, prefix: str) -> Iterator[Key]:
    for field, default in _fields(section):
        if isinstance(default, Section):
            yield from _keys_of(default, f"{prefix}{field.name}.")
        else:
            yield _key(field, prefix, default)


def _fields(section: Section) -> Iterator[tuple[inspect.Field, object]]:
    for field in cast("inspect.StructType", inspect.type_info(type(section))).fields:
        yield field, getattr(section, field.name)


def _key(field: inspect.Field, prefix: str, default: object) -> Key:
    if isinstance(field.type, inspect.Metadata):
        description = (field.type.extra_json_schema or {}).get("description", "")
        return Key(prefix + field.name, field.type.type, default, description)
    return Key(prefix + field.name, field.type, default, "")


def section_names(keys: Mapping[str, Key]) -> frozenset[str]:
    """The dotted names of the sections that hold `keys`."""
    return frozenset(name[:at] for name in keys for at, character in enumerate(name) if character == ".")


def _alternatives(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _in_words(kind: inspect.Type) -> str:
    match kind:
        case inspect.StrType():
            return "text" if kind.min_length is None else "text, not empty"
        case inspect.LiteralType():
            *most, last = map(str, kind.values)
            return f"{', '.join(most)} or {last}" if most else last
        case inspect.IntType():
            return "a whole number" + _range_in_words(kind)
        case inspect.FloatType():
            return "a number" + _range_in_words(kind)
        case inspect.DictType() | inspect.VarTupleType():
            return _compound_in_words(kind)
    return {inspect.NoneType: "null", inspect.BoolType: "true or false"}[type(kind)]


def _compound_in_words(kind: inspect.DictType | inspect.VarTupleType) -> str:
    size = "" if kind.max_length is None else f", {kind.max_length} at most"
    if isinstance(kind, inspect.DictType):
        return f"a mapping of names to {_in_words(kind.value_type)}{size}"
    fields = cast("inspect.StructType", kind.item_type).fields
    return f"a list of mappings with {', '.join(field.name for field in fields)}{size}"


def _range_in_words(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge:.15g} to {kind.le:.15g}"
    bounds = [("of at least", kind.ge), ("above", kind.gt), ("up to", kind.le), ("below", kind.lt)]
    return "".join(f" {words} {bound:.15g}" for words, bound in bounds if bound is not None)


# --- the example -------------------------------------------------------------------------------------------------


def example_yaml() -> str:
    """A configuration file that changes nothing: the sections are there, all their keys commented out."""
    return PREAMBLE + "\n".join(_section_lines(Config(), "")) + "\n"


def _section_lines(section: Section, prefix: str) -> Iterator[str]:
    indent = "  " * prefix.count(".")
    for index, (field, default) in enumerate(_fields(section)):
        if index or not prefix:
            yield ""
        if isinstance(default, Section):
            yield f"{indent}# {(type(default).__doc__ or '').splitlines()[0]}"
            yield f"{indent}{field.name}:"
            yield from _section_lines(default, f"{prefix}{field.name}.")
        else:
            key = _key(field, prefix, default)
            yield f"{indent}# {key.description}"
            yield f"{indent}# Allowed: {key.allowed}."
            yield f"{indent}#{_assignment(field.name, default)}"


def _assignment(name: str, default: object) -> str:
    return yaml.safe_dump({name: default}, width=1000).rstrip("\n")
