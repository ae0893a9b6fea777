"""The labels that say which device a series is of: what a scrape configuration gives a target, and a push adds itself.

One definition for both, so that a series is the same whichever way it came. Pure data.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

JOB = "edge-agent"


class TargetLabels(Struct, frozen=True):
    """A device's stable name, and the labels that its owner gave it, such as `site`."""

    instance: str
    external: Mapping[str, str] = {}

    def as_dict(self) -> dict[str, str]:
        return {**self.external, "job": JOB, "instance": self.instance}
