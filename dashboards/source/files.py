"""Which dashboards there are, and the text of their files. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards.source.board import board
from dashboards.source.inference import inference

FOLDER = Path(__file__).parents[1]
DASHBOARDS: dict[str, Callable[[], Dashboard]] = {"board.json": board, "inference.json": inference}


def as_json(dashboard: Dashboard) -> str:
    """As it is kept in git: sorted keys, so that a change of the schema's library reads as what it changed."""
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
