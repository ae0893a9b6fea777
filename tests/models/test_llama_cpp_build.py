"""What llama.cpp was built for is told from the names of its libraries."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.models.llama_cpp_build import has_gpu_backend, has_gpu_memory_of_its_own, llama_cpp_folder


@pytest.mark.parametrize(
    ("names", "is_for_gpus"),
    [
        (["libggml-base.so", "libggml-cpu.so", "libllama.so"], False),
        (["libggml-cpu.so", "libggml-cuda.so"], True),
        (["ggml-vulkan.dll"], True),
        (["libggml-cpu-haswell.so", "libggml-cudalike.so"], False),
        ([], False),
    ],
)
def test_a_gpu_backend_is_known_by_its_library(tmp_path: Path, names: list[str], is_for_gpus: bool) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert has_gpu_backend(tmp_path) == is_for_gpus


def test_without_a_folder_there_is_no_backend(tmp_path: Path) -> None:
    assert not has_gpu_backend(None)
    assert not has_gpu_backend(tmp_path / "absent")


def test_the_installed_one_is_found_with_its_libraries() -> None:
    folder = llama_cpp_folder()
    assert folder is not None
    assert any(path.name.startswith("libllama") for path in folder.iterdir())


def test_a_jetson_shares_its_memory_with_the_gpu(tmp_path: Path) -> None:
    assert has_gpu_memory_of_its_own(tmp_path)
    compatible = tmp_path / "proc/device-tree/compatible"
    compatible.parent.mkdir(parents=True)
    compatible.write_bytes(b"nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0")
    assert not has_gpu_memory_of_its_own(tmp_path)
