"""Small files of the kernel: bounded, and empty where there are none."""

from __future__ import annotations

from pathlib import Path

from edge_agent.models.kernel_file import read_kernel_file


def test_no_more_is_read_than_such_files_hold(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"x" * 100_000)
    assert len(read_kernel_file(tmp_path / "long")) == 65_536


def test_what_is_not_ascii_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"a\xffb")
    assert read_kernel_file(tmp_path / "odd") == "a\ufffdb"


def test_what_cannot_be_read_is_empty(tmp_path: Path) -> None:
    assert read_kernel_file(tmp_path / "absent") == ""
    assert read_kernel_file(tmp_path) == ""
