from __future__ import annotations

import json
import subprocess
import sys

from edge_agent.engine.memory_bandwidth import measure_bandwidth


def test_the_fastest_round_counts() -> None:
    # Each round asks the clock for the deadline once it has its fifth; the third one took half a second.
    moments = iter([0.0, 0.0, 2.0, 2.0, 4.0, 4.0, 4.5, 5.0, 7.0, 7.0, 9.0, 9.0])
    bytes_per_second = measure_bandwidth(num_threads=2, seconds=5.0, buffer_bytes=4000, clock=lambda: next(moments))
    assert bytes_per_second == 8000.0


def test_the_process_prints_one_line_of_json_and_gives_way_to_all_others() -> None:
    program = (
        "import os, runpy, sys; sys.argv = ['', '--threads', '1', '--seconds', '0'];\n"
        "import edge_agent.engine.memory_bandwidth as bandwidth\n"
        "bandwidth.main(); print(os.nice(0), open('/proc/self/oom_score_adj').read())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second = done.stdout.strip().splitlines()
    assert json.loads(first)["bytes_per_second"] > 0
    assert second.split()[1] == "1000"
    assert int(second.split()[0]) >= 10
