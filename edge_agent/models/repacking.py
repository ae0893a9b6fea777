"""Which weights llama.cpp rearranges for this CPU's kernels when it loads them: by tensor type, as a copy of its own.

The table is that of ggml's CPU backend. A build that does not use all of this CPU rearranges fewer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from edge_agent.models.kernel_file import read_kernel_file

# Tensor types by what a CPU must be able to do, as /proc/cpuinfo spells it on x86 and on Arm.
TYPES_OF_FEATURE = {
    "avx2": {"q4_0", "q4_K", "iq4_nl", "mxfp4"},
    "avx512f": {"q2_K"},
    "asimddp": {"q4_0", "q4_K", "q5_K", "q6_K", "q8_0", "q1_0", "iq4_nl", "mxfp4"},
}
FEATURES = re.compile(r"^(?:flags|Features)\s*:(.*)$", re.MULTILINE)


def repacked_types(root: Path) -> frozenset[str]:
    """Tensor types that are rearranged here; `proc/cpuinfo` is read below `root` ("/" on a real machine)."""
    found = FEATURES.search(read_kernel_file(root / "proc/cpuinfo"))
    features = found[1].split() if found else []
    return frozenset[str]().union(*(TYPES_OF_FEATURE.get(feature, set()) for feature in features))


def repacked_bytes(matrix_bytes: Mapping[str, int], types: frozenset[str]) -> int:
    """How large the copies are, of a model's matrices by tensor type."""
    return sum(num_bytes for name, num_bytes in matrix_bytes.items() if name in types)
