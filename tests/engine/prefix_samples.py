"""Prefixes for tests: small ones, whose sizes on disk are known."""

from __future__ import annotations

from edge_agent.engine.prefix_file import PrefixFacts, PrefixHead, PrefixIdentity, pack_tokens

IDENTITY = PrefixIdentity(
    model_digest="0123abcd",
    kv_cache_type="q8_0",
    flash_attention=True,
    llama_cpp_version="0.3.36",
)


def head(tokens: list[int], state: bytes, *, name: str | None = None, is_pinned: bool = False) -> PrefixHead:
    return PrefixHead(PrefixFacts(IDENTITY, is_pinned, name, 1_700_000_000), pack_tokens(tokens), len(state))
