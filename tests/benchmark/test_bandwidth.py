from __future__ import annotations

import os
import sys

import pytest

from edge_agent.benchmark.bandwidth import measure_bandwidth
from edge_agent.benchmark.speeds import MeasurementError


def program(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text)


def test_this_machine_reads_at_a_speed_that_memory_has() -> None:
    assert 1e8 < measure_bandwidth(num_threads=2, environ=os.environ) < 1e12


def test_the_process_is_told_how_many_threads_read() -> None:
    answer = program("import sys; print('{\"bytes_per_second\": %s}' % sys.argv[sys.argv.index('--threads') + 1])")
    assert measure_bandwidth(num_threads=3, environ=os.environ, command=answer) == 3.0


@pytest.mark.parametrize(
    "text",
    [
        "print('fast')",
        "print('{\"bytes_per_second\": -1}')",
        "print('{\"bytes_per_second\": 1e300}')",
        "raise SystemExit(1)",
        "import signal; signal.pause()",
    ],
    ids=["no JSON", "less than nothing", "more than there is", "fails", "hangs"],
)
def test_a_process_that_says_nothing_sensible_is_an_error(text: str) -> None:
    with pytest.raises(MeasurementError, match="bandwidth could not be measured"):
        measure_bandwidth(num_threads=1, environ=os.environ, command=program(text), timeout=1.0)


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(MeasurementError, match="No such file"):
        measure_bandwidth(num_threads=1, environ=os.environ, command=("/nonexistent/program",))
