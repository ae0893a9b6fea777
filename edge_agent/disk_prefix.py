"""A prefix kept on disk, as agent and engine tell each other of it. Plain data, used by both processes."""

from __future__ import annotations

import msgspec


class DiskPrefix(msgspec.Struct, frozen=True):
    """One file: `num_bytes` is its size, `created` wall-clock seconds. One that is not pinned may be evicted."""

    id: str
    name: str | None
    num_tokens: int
    num_bytes: int
    is_pinned: bool
    created: int
