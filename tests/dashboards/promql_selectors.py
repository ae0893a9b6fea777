"""Takes PromQL apart as far as the tests need: its selectors of series, and what stands around them."""

from __future__ import annotations

import re
from typing import NamedTuple

SELECTOR = re.compile(
    r"(?P<call>\b\w+\s*\(\s*)?\b(?P<name>(?:edge_agent|process)_\w+|up)\b(?:\{(?P<matchers>[^}]*)\})?(?P<window>\[[^\]]*\])?"
)
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


class Selector(NamedTuple):
    """One selector: the function that is called on it directly, if any, and the window, such as `[5m]`."""

    function: str
    name: str
    matchers: tuple[tuple[str, str, str], ...]
    window: str


def selectors(expression: str) -> list[Selector]:
    return [
        Selector(
            (found["call"] or "").strip("( \n"),
            found["name"],
            tuple((label, operator, value) for label, operator, value in MATCHER.findall(found["matchers"] or "")),
            found["window"] or "",
        )
        for found in SELECTOR.finditer(expression)
    ]


def grouped_labels(expression: str) -> set[str]:
    """The labels that aggregations and matchings name."""
    lists = GROUPING.findall(expression)
    return {label.strip() for labels in lists for label in labels.split(",") if label.strip()}
