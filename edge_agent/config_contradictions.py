"""What no key can know of itself: values that contradict each other, and names that Prometheus would not take.

Pure. `config_file` asks for it once every key by itself is right.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import reprlib
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from edge_agent.config import Config, ModelSection, RemoteWriteEndpoint, ServerSection, TelemetrySection

LOCALHOST = frozenset({ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")})
# A last label of digits only would be a mistyped IP address.
HOST_NAME = re.compile(
    r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?!\d+\.?$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.?"
)

# Prometheus data model; names that begin with __ are its own.
LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
# Labels of the agent's own series: an external label of that name would hide one of them, or be hidden.
OWN_LABELS = frozenset(
    """
    architecture batch_size board cause clock code collector context_length cpu device disk driver endpoint fan
    file_sha256 finish_reason firmware flag gpu gpu_layers instance interface job kernel kind le llama_cpp
    method mode model mountpoint name os outcome parameters phase python quantization reason resource result
    route sensor source thermal_state uuid version
    """.split()  # noqa: SIM905 (one a line, they would hide what stands below)
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Tells where a key was set.
LabelOf = Callable[[str], str]


def contradictions(config: Config, source_of: LabelOf) -> Iterator[str]:
    """One line for each; `source_of` is asked only for keys that somebody has set."""
    yield from _exposure(config.server, source_of)
    yield from _shared_port(config.server, config.telemetry, source_of)
    yield from _plain_attention(config.model, source_of)
    yield from _label_names(config.telemetry, source_of)
    for number, endpoint in enumerate(config.telemetry.remote_write.endpoints):
        yield from _receiver(endpoint, number, source_of)
        yield from _credentials(endpoint, number, source_of)


def _exposure(server: ServerSection, source_of: LabelOf) -> Iterator[str]:
    if not server.allow_unauthenticated and not _is_loopback(server.host):
        yield (
            f"{source_of('server.host')}: server.host is {shown(server.host)}, which may be reached from "
            "other machines: anyone there could use the model and learn from its answers and their timing what others "
            "ask, and there are no API keys yet; bind to 127.0.0.1, or set server.allow_unauthenticated: true"
        )


def _shared_port(server: ServerSection, telemetry: TelemetrySection, source_of: LabelOf) -> Iterator[str]:
    if telemetry.port and telemetry.port == server.port and _overlap(server.host, telemetry.host):
        yield (
            f"{source_of('telemetry.port')}: telemetry.port is {telemetry.port}, which is server.port "
            "on the same address; give another port, or null to serve /metrics beside the API"
        )


def _plain_attention(model: ModelSection, source_of: LabelOf) -> Iterator[str]:
    if model.kv_cache_type == "q8_0" and model.flash_attention is False:
        yield (
            f"{source_of('model.kv_cache_type')}: model.kv_cache_type is q8_0, which needs model.flash_attention; "
            "leave that null or set it to true, or give f16"
        )


def _label_names(telemetry: TelemetrySection, source_of: LabelOf) -> Iterator[str]:
    for name, value in telemetry.external_labels.items():
        key = "telemetry.external_labels"
        if name in OWN_LABELS:
            yield f"{source_of(key)}: {key} has {shown(name)}, a label of the agent's own; give it another name"
        elif not LABEL_NAME.fullmatch(name):
            yield (
                f"{source_of(key)}: {key} has {shown(name)}, which is no label name; "
                "give letters, digits and _, no digit first, no __ first"
            )
        elif not value:
            yield f"{source_of(key)}: {key} has no value for {name}, and then there is no such label; give one"


def _receiver(endpoint: RemoteWriteEndpoint, number: int, source_of: LabelOf) -> Iterator[str]:
    try:
        parts = urlsplit(endpoint.url)
        is_address = bool(parts.hostname and is_host(parts.hostname)) and parts.port != 0
    except ValueError:  # a port beyond 65535, half an IPv6 address
        is_address = False
    if not is_address:
        key = f"telemetry.remote_write.endpoints[{number}]"
        # A query may hold a token.
        url = shown(endpoint.url.partition("?")[0])
        yield (
            f"{source_of('telemetry.remote_write.endpoints')}: {key} has the url {url}, "
            "whose host or port is none; give one such as https://metrics.example/api/v1/write"
        )


def _credentials(endpoint: RemoteWriteEndpoint, number: int, source_of: LabelOf) -> Iterator[str]:
    key = f"telemetry.remote_write.endpoints[{number}]"
    source = source_of("telemetry.remote_write.endpoints")
    if (endpoint.username is None) != (endpoint.password_file is None):
        yield f"{source}: {key} has one of username and password_file; give both, or neither"
    if endpoint.bearer_token_file is not None and endpoint.username is not None:
        yield f"{source}: {key} has a bearer token and a username; give one of them"


def shown(value: object) -> str:
    """The value on one line of bounded length, in YAML's words where Python's differ."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, datetime.date):
        return str(value)
    limits = reprlib.Repr()
    limits.maxstring = limits.maxother = 80
    return limits.repr(value)


# --- addresses ----------------------------------------------------------------------------------------------------


def is_host(host: str) -> bool:
    """Whether it is an IP address or may be a host's name."""
    return bool(_addresses(host) or HOST_NAME.fullmatch(host.lower()))


def _addresses(host: str) -> frozenset[Address]:
    """What the text itself says; empty for a name that only a resolver knows."""
    if host.lower() == "localhost":
        return LOCALHOST
    try:
        return frozenset({ipaddress.ip_address(host)})
    except ValueError:
        return frozenset()


def _is_loopback(host: str) -> bool:
    addresses = _addresses(host)
    return bool(addresses) and all(address.is_loopback for address in addresses)


def _overlap(first: str, second: str) -> bool:
    if first.lower() == second.lower():
        return True
    return any(
        one == other or (one.version == other.version and (one.is_unspecified or other.is_unspecified))
        for one in _addresses(first)
        for other in _addresses(second)
    )
