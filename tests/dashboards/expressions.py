"""The queries of the shipped dashboards as a Prometheus takes them: Grafana's variables are put in here.

Reads the JSON files, which are what users import; whether they are what the source makes, test_dashboards tells.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parents[2] / "dashboards"
NAMES = ("board", "inference")


class PanelExpression(NamedTuple):
    """Where a query stands, as `Board: Temperature`, and its PromQL."""

    title: str
    expression: str


def expressions(
    *, job: str = "edge-agent", instance: str = ".+", rate_interval: str = "1m", time_range: str = "1h"
) -> Iterator[PanelExpression]:
    """Every query of every panel. `rate_interval` is Grafana's: four times the scrape interval at least."""
    values = {
        "$__rate_interval": rate_interval,
        "$__range": time_range,
        "$job": job,
        "$instance": instance,
        "$model": ".+",
    }
    for name in NAMES:
        for panel in panels(dashboard(name)):
            for target in panel.get("targets", []):
                expression = target["expr"]
                for variable, value in values.items():
                    expression = expression.replace(variable, value)
                yield PanelExpression(f"{name.capitalize()}: {panel['title']}", expression)


def dashboard(name: str) -> dict[str, Any]:
    """A dashboard as it is shipped."""
    shipped: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return shipped


def panels(shipped: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, those inside collapsed rows too; the rows themselves are none."""
    for panel in shipped["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel
