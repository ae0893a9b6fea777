"""A process that asks NVIDIA's library, for tests: pynvml loads it once in a process, and it is found by its name.

Each line on standard input is a time of the clock; the answer is what one round of the collector found then, as JSON. A
round that hangs is given up, as the sampler would, and `given_up` is the answer.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from edge_agent.device.nvidia import NvidiaCollector
from edge_agent.device.reading import Readings
from edge_agent.device.sensor_files import ReaderGivenUpError, SensorFiles

HANGING = Path(os.environ["NVML_STUB"]) / "gpu0" / "hanging"


class Rounds:
    """The collector and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.files = SensorFiles(Path("/nonexistent"))
        self.collector = NvidiaCollector(self.files, clock=lambda: self.now)
        self.readings = Readings()

    def run(self) -> None:
        readings = Readings()
        try:
            with readings.sensor():
                self.collector.collect(readings)
        except ReaderGivenUpError:
            return
        self.readings = readings

    def answer(self, now: float) -> object:
        self.now = now
        self.files.begin_round()
        reader = threading.Thread(target=self.run, daemon=True)
        reader.start()
        while reader.is_alive():
            reader.join(0.01)
            if HANGING.exists() and self.files.give_up(after_seconds=0):
                HANGING.unlink()
                return "given_up"
        found = {f"{r.metric}{dict(r.labels)}": r.value for r in self.readings.found}
        return [found, [str(e) for e in self.readings.errors], [str(a) for a in self.readings.absences]]


def main() -> None:
    rounds = Rounds()
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(rounds.answer(float(line)))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
