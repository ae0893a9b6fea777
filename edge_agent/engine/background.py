"""The engine that only measures: `python -m edge_agent.engine.background --commands-fd N --reports-fd N`.

The same engine as the one that serves, behind all other work of the machine: it computes when nothing else wants to,
and goes first when memory ends. Its main thread runs this.
"""

from __future__ import annotations

import sys

from edge_agent.engine.priority import give_way
from edge_agent.engine.start import start_engine

if __name__ == "__main__":
    sys.exit(start_engine(prog="edge_agent.engine.background", take_place=give_way))
