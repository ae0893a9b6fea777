"""What the agent's process and its engine use, as the kernel counts it for them, and what the agent counts itself."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil

from .load import BenchError

ANONYMOUS = re.compile(r"^RssAnon:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Processes:
    """A running edge-agent: the agent's process, and its engine's."""

    agent: int
    engine: int

    def cpu_seconds(self) -> tuple[float, float]:
        """CPU time of agent and engine so far, of all their threads."""
        agent, engine = (psutil.Process(pid).cpu_times() for pid in (self.agent, self.engine))
        return agent.user + agent.system, engine.user + engine.system

    def private_bytes(self) -> int:
        """Memory of both that no file stands behind: a mapped model is not in it, a copy of its weights is."""
        return sum(anonymous_bytes((Path("/proc") / str(pid) / "status").read_text()) for pid in self.pids)

    @property
    def pids(self) -> tuple[int, int]:
        return self.agent, self.engine


def processes_of(agent: int) -> Processes:
    """The engine is the agent's only child. Raises BenchError when it has another number of them."""
    children = psutil.Process(agent).children()
    if len(children) != 1:
        raise BenchError(f"edge-agent has {len(children)} child processes and not its engine alone")
    return Processes(agent, children[0].pid)


def anonymous_bytes(status: str) -> int:
    """RssAnon of a /proc/PID/status (proc_pid_status(5))."""
    found = ANONYMOUS.search(status)
    if found is None:
        raise BenchError("the kernel does not tell RssAnon in /proc/PID/status; it takes Linux 4.5")
    return int(found[1]) * 1024


def read_sum(url: str, metric: str) -> float:
    """All series of a metric at `url`/metrics added up."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as response:
        return sum_of(response.read().decode(), metric)


def sum_of(exposition: str, metric: str) -> float:
    """All series of a metric in Prometheus text. Raises BenchError when there is none."""
    found = re.findall(rf"^{re.escape(metric)}(?:{{.*}})? (\S+)", exposition, re.MULTILINE)
    if not found:
        raise BenchError(f"/metrics has no {metric}")
    return sum(map(float, found))
