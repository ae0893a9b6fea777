from __future__ import annotations

import pytest

from .comparison import Figure
from .load import BenchError
from .processes import anonymous_bytes, sum_of
from .python_server import server_requirements
from .serving_cost import Use, cost_rows

EXPOSITION = """\
# HELP edge_agent_step_seconds Time of one step.
# TYPE edge_agent_step_seconds histogram
edge_agent_step_seconds_sum{model="m",phase="prefill"} 1.5
edge_agent_step_seconds_sum{model="m",phase="decode"} 2.25
edge_agent_step_seconds_sum_of_something_else 9.0
process_cpu_seconds_total 0.5
"""


def test_a_metric_is_the_sum_of_its_series() -> None:
    assert sum_of(EXPOSITION, "edge_agent_step_seconds_sum") == 3.75
    assert sum_of(EXPOSITION, "process_cpu_seconds_total") == 0.5


def test_a_metric_that_is_not_exposed_is_an_error() -> None:
    with pytest.raises(BenchError, match="no edge_agent_missing"):
        sum_of(EXPOSITION, "edge_agent_missing")


def test_private_memory_is_what_no_file_stands_behind() -> None:
    assert anonymous_bytes("VmRSS:\t    9000 kB\nRssAnon:\t    2000 kB\nRssFile:\t    7000 kB\n") == 2_048_000


def test_a_kernel_that_does_not_tell_private_memory_is_an_error() -> None:
    with pytest.raises(BenchError, match="RssAnon"):
        anonymous_bytes("VmRSS:\t    9000 kB\n")


def use(*, agent: float, engine: float, steps: float, decode_step: float, num_tokens: int = 100) -> Use:
    return Use(num_tokens, agent, engine, steps, decode_step)


def test_cost_is_the_agent_beside_the_4b_shape_and_the_engine_beside_a_short_step() -> None:
    of_4b = use(agent=0.05, engine=20.0, steps=10.0, decode_step=0.1)
    rows = cost_rows(of_4b, use(agent=9.0, engine=1.03, steps=1.0, decode_step=0.01))
    assert [(row.figure, row.theirs) for row in rows] == [(Figure.COST, 100.0)] * 3
    assert [row.ours for row in rows] == pytest.approx([0.5, 0.3, 0.8])
    assert rows[-1].ratio == pytest.approx(0.008)


def test_an_engine_that_waited_for_its_processor_cannot_be_measured() -> None:
    waited = use(agent=0.0, engine=0.9, steps=1.0, decode_step=0.01)
    with pytest.raises(BenchError, match=r"steps took 1\.00 s, but the engine computed for 0\.90 s only"):
        cost_rows(waited, waited)


def test_the_python_server_is_given_what_it_alone_needs() -> None:
    requirements = ["numpy>=1.20", 'uvicorn>=0.22.0; extra == "server"', "fastapi>=0.100; extra == 'server'",
                    'scipy; extra == "test"']  # fmt: skip
    assert server_requirements(requirements) == ["uvicorn>=0.22.0", "fastapi>=0.100"]
