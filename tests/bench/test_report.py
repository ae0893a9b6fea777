from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from .bar_chart import MET, MISSED, WIDTH, bar_chart
from .comparison import Figure, Row
from .goals import GOALS
from .report import markdown
from .results import SuiteResult, machine, read_results, write_result

SVG = "{http://www.w3.org/2000/svg}"
GAP = Row(work="intrude", figure=Figure.LONGEST_GAP, against="llama-server", theirs=2.0, ours=0.4, goal=0.15)
SPEED = Row(work="a<b", figure=Figure.TOKENS_PER_SECOND, against="x & y", theirs=50, ours=60, goal=1.1)
EXTRA = Row(work="copy", figure=Figure.WALL, against="llama-server", theirs=3.0, ours=3.03)


def result(suite: str, *rows: Row) -> SuiteResult:
    return SuiteResult(
        suite=suite, day="2026-01-02", machine="a processor, 2 CPUs", num_threads=2, num_rounds=3,
        llama_cpp_python="0.3.36", settings={"model.repack": False}, rows=list(rows),
    )  # fmt: skip


def drawn(*results: SuiteResult) -> ET.Element:
    return ET.fromstring(bar_chart(results))  # noqa: S314 (our own text)


def test_the_report_says_of_each_goal_whether_it_is_met() -> None:
    report = markdown([result("small", GAP, SPEED, EXTRA)])
    assert "## Goals: 1 of 2 met" in report
    assert "| small | intrude | longest gap, s | llama-server | 2 | 0.4 | 0.20 | ≤ 0.15 | **not met** |" in report
    assert "| small | a<b | tokens/s | x & y | 50 | 60 | 1.20 | ≥ 1.1 | met |" in report


def test_the_report_has_every_figure_and_its_circumstances() -> None:
    report = markdown([result("small", EXTRA)])
    assert "| copy | all answered, s | llama-server | 3 | 3.03 | 1.01 |" in report
    assert "2026-01-02, a processor, 2 CPUs, 2 threads, rounds: 3, llama-cpp-python 0.3.36." in report
    assert "Further settings of edge-agent: `model.repack: False`." in report


def test_small_ratios_keep_two_digits_that_count() -> None:
    tiny = Row(work="w", figure=Figure.COST, against="a step", theirs=100.0, ours=0.82, goal=0.02)
    assert "| 100 | 0.82 | 0.0082 | ≤ 0.02 | met |" in markdown([result("cost", tiny)])


def test_a_result_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    written = [result("small", GAP), result("memory", SPEED)]
    for one in written:
        write_result(tmp_path, one)
    assert read_results(tmp_path, ("small", "gemma", "memory")) == written


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel name\t: Cortex-A76\n", "Cortex-A76"),
        ("processor\t: 0\nModel\t\t: Raspberry Pi 5\n", "Raspberry Pi 5"),
        ("", "unnamed"),
    ],
)
def test_a_machine_is_named_by_what_the_kernel_says(cpuinfo: str, name: str) -> None:
    assert re.fullmatch(rf"{name} \(\w+\), 4 CPUs", machine(cpuinfo, num_cpus=4))


def test_a_bar_is_coloured_by_whether_its_goal_is_met() -> None:
    bars = [element.get("fill") for element in drawn(result("small", GAP, SPEED, EXTRA)).iter(f"{SVG}rect")]
    # One of each colour is the legend's.
    assert (bars.count(MET), bars.count(MISSED)) == (2, 2)


def test_a_bar_says_what_it_is_and_its_ratio_beside_the_goal() -> None:
    texts = {element.text for element in drawn(result("small", GAP, SPEED)).iter(f"{SVG}text")}
    assert {
        "small",
        "intrude: longest gap, s",
        "a<b: tokens/s (x & y)",
        "1.20, goal ≥ 1.1 ✓",
        "0.20, goal ≤ 0.15 ✗",
    } <= texts


def all_goals() -> list[SuiteResult]:
    """A picture as full as it gets."""
    return [
        result(suite, *(Row(work=w, figure=f, against=a, theirs=1.0, ours=1.0, goal=g) for (s, w, f, a), g in
                        GOALS.items() if s == suite))
        for suite in dict.fromkeys(key[0] for key in GOALS)
    ]  # fmt: skip


def test_no_two_texts_of_a_full_picture_overlap() -> None:
    boxes = [box_of(element) for element in drawn(*all_goals()).iter(f"{SVG}text")]
    overlapping = [
        (one[4], two[4])
        for index, one in enumerate(boxes)
        for two in boxes[index + 1 :]
        if one[0] < two[1] and two[0] < one[1] and one[2] < two[3] and two[2] < one[3]
    ]
    assert overlapping == []


def test_no_text_leaves_a_full_picture() -> None:
    boxes = [box_of(element) for element in drawn(*all_goals()).iter(f"{SVG}text")]
    assert [box for box in boxes if box[0] < 0 or box[1] > WIDTH] == []


def box_of(element: ET.Element) -> tuple[float, float, float, float, str]:
    """Left, right, top, bottom of a text, with a wide sans-serif's letters of 0.56 em."""
    text, size = element.text or "", float(element.get("font-size", 13))
    width = len(text) * size * 0.56
    shift = {"start": 0.0, "middle": 0.5, "end": 1.0}[element.get("text-anchor", "start")]
    x, y = float(element.get("x", 0)), float(element.get("y", 0))
    return x - shift * width, x + (1 - shift) * width, y - size * 0.8, y + size * 0.2, text
