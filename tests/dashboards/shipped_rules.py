"""The alert rules as they are shipped."""

from __future__ import annotations

from typing import Any

import yaml

from .expressions import FOLDER

RULES = FOLDER / "rules" / "edge-agent.yml"


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]
