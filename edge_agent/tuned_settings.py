"""Engine settings that were measured to be the fastest for one model on one machine."""

from __future__ import annotations

from msgspec import Struct


class TunedSettings(Struct, frozen=True, kw_only=True):
    """What may differ by CPU, quantisation and memory. Settings that the user made go before these."""

    kv_cache_type: str
    flash_attention: bool
    micro_batch_tokens: int
    repack: bool
    num_threads: int
    num_threads_batch: int
