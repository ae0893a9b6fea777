"""Renders a registry for a scrape, as Prometheus text or OpenMetrics, whichever the client asks for.

Agent process, any thread; nothing but the registry is read. Compression and HTTP are the API's.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# What is really written. client_python's chooser fails on a version that is no number and echoes one that it has never
# heard of; and it applies name escapings that these names, plain ASCII, do not need.
KNOWN_VERSIONS = ("", "0.0.1", "0.0.4", "1.0.0")


class ExposedSeries(Collector):
    """A registry's series as they leave the process: all but `_created`, which would cost a series for each other.

    client_python can switch these off for the whole process only.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            created = metric.name + "_created"
            metric.samples = [sample for sample in metric.samples if sample.name != created]
            yield metric


class Exposition:
    """What `/metrics` answers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._series = ExposedSeries(registry)

    def render(self, accept_header: str) -> tuple[bytes, str]:
        """The body and its content type. Any header is answered; one that names nothing known gets Prometheus text."""
        encode, content_type = choose_encoder(_known_offers(accept_header))
        return encode(self._series), content_type


def _known_offers(accept_header: str) -> str:
    offers = (_media_type_and_version(offer) for offer in accept_header.split(","))
    return ",".join(f"{media_type};version={version}" for media_type, version in offers if version in KNOWN_VERSIONS)


def _media_type_and_version(offer: str) -> tuple[str, str]:
    media_type, *parameters = (part.strip() for part in offer.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "version":
            return media_type, value.strip('"')
    return media_type, ""
