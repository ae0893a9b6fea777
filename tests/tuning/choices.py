"""Settings and speeds that the tests of tuning begin with."""

from __future__ import annotations

from typing import Any

import msgspec

from edge_agent.benchmark.speeds import Speeds
from edge_agent.tuned_settings import TunedSettings
from edge_agent.tuning.record import TuningKey

DEFAULT = TunedSettings(
    kv_cache_type="f16",
    flash_attention=True,
    micro_batch_tokens=512,
    repack=True,
    num_threads=4,
    num_threads_batch=4,
)
KEY = TuningKey(model_sha256="ab" * 32, cpu="Raspberry Pi 5", num_cpus=4, llama_cpp_version="0.3.36", prefer="balanced")


def changed(**changes: Any) -> TunedSettings:
    """The default with other values."""
    return msgspec.structs.replace(DEFAULT, **changes)


def speeds(prefill: float, decode: float) -> Speeds:
    return Speeds(prefill=prefill, decode=decode)
