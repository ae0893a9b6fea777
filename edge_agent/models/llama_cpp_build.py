"""What the installed llama.cpp was built for, told from the names of its libraries without loading any of them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from edge_agent.models.kernel_file import read_kernel_file

GPU_LIBRARY = re.compile(r"(lib)?ggml-(cuda|hip|metal|musa|opencl|sycl|vulkan)\b.*")
TEGRA = "nvidia,tegra"


def llama_cpp_folder() -> Path | None:
    """Where llama.cpp's libraries are installed; None: they are not."""
    spec = importlib.util.find_spec("llama_cpp")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "lib"


def has_gpu_backend(folder: Path | None) -> bool:
    """Whether a library among those in the folder computes on a GPU."""
    if folder is None or not folder.is_dir():
        return False
    return any(GPU_LIBRARY.fullmatch(path.name) for path in folder.iterdir())


def has_gpu_memory_of_its_own(root: Path) -> bool:
    """Whether a GPU here would bring memory along; a Jetson's uses the board's."""
    return TEGRA not in read_kernel_file(root / "proc/device-tree/compatible")
