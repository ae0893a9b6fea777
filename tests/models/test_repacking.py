"""A CPU's features say which weights get a copy of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.models.repacking import repacked_bytes, repacked_types

CORTEX_A72 = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"
CORTEX_A76 = "processor\t: 0\nFeatures\t: fp asimd asimdhp cpuid asimdrdm lrcpc dcpop asimddp\n"
X86 = "processor\t: 0\nmodel name\t: x\nflags\t\t: fpu sse2 avx avx2 fma\nbugs\t\t: spectre_v1\n"


@pytest.mark.parametrize(
    ("cpuinfo", "types"),
    [
        (CORTEX_A72, set()),
        (CORTEX_A76, {"q4_0", "q4_K", "q5_K", "q6_K", "q8_0", "q1_0", "iq4_nl", "mxfp4"}),
        (X86, {"q4_0", "q4_K", "iq4_nl", "mxfp4"}),
        (X86.replace("avx2", "avx2 avx512f"), {"q4_0", "q4_K", "iq4_nl", "mxfp4", "q2_K"}),
        ("", set()),
    ],
    ids=["Pi 4", "Pi 5", "x86", "x86 with AVX-512", "nothing known"],
)
def test_types_follow_from_the_features_of_the_cpu(tmp_path: Path, cpuinfo: str, types: set[str]) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
    assert repacked_types(tmp_path) == types


def test_a_machine_that_does_not_tell_rearranges_nothing(tmp_path: Path) -> None:
    assert repacked_types(tmp_path) == frozenset()


def test_only_matrices_of_these_types_are_copied() -> None:
    assert repacked_bytes({"q4_K": 100, "q6_K": 50, "f32": 7}, frozenset({"q4_K", "q4_0"})) == 100
