"""llama.cpp's native samplers, chained, and the array of candidate tokens that they sort and cut.

Owned by the step loop; which samplers a request needs is decided in `sampling`.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from edge_agent.engine.llama import Logits, lib, set_fields


class SamplerChain:
    """llama.cpp's native samplers in order; the last one selects. Owned by the step loop."""

    def __init__(self, handle: Any = None) -> None:
        self._handle = handle or lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())

    def add_penalties(self, num_tokens: int, last_n: int, *, repeat: float, frequency: float, presence: float) -> None:
        self._add(lib.llama_sampler_init_penalties(num_tokens, last_n, repeat, frequency, presence))

    def add_greedy(self) -> None:
        self._add(lib.llama_sampler_init_greedy())

    def add_cuts(self, *, top_k: int, top_p: float, min_p: float) -> None:
        """Drop unlikely tokens; top_k 0, top_p 1 and min_p 0 cut nothing."""
        if top_k > 0:
            self._add(lib.llama_sampler_init_top_k(top_k))
        if top_p < 1:
            self._add(lib.llama_sampler_init_top_p(top_p, 1))
        if min_p > 0:
            self._add(lib.llama_sampler_init_min_p(min_p, 1))

    def add_distribution(self, *, temperature: float, seed: int) -> None:
        self._add(lib.llama_sampler_init_temp(temperature))
        self._add(lib.llama_sampler_init_dist(seed))

    def _add(self, sampler: Any) -> None:
        lib.llama_sampler_chain_add(self._handle, sampler)

    def select(self, candidates: Candidates) -> int:
        """The token that the chain selects; the chain does not yet know that it is used (see `accept`)."""
        lib.llama_sampler_apply(self._handle, candidates.reference)
        return candidates.selected

    def accept(self, token: int) -> None:
        lib.llama_sampler_accept(self._handle, token)

    def clone(self) -> SamplerChain:
        return SamplerChain(lib.llama_sampler_clone(self._handle))

    def close(self) -> None:
        """Free the chain; a second call does nothing."""
        if self._handle is not None:
            lib.llama_sampler_free(self._handle)
            self._handle = None


class Candidates:
    """The array of all tokens with their logits that samplers sort and cut. One serves every sequence in turn."""

    def __init__(self, vocabulary_size: int) -> None:
        layout = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
        self._all = np.zeros(vocabulary_size, dtype=layout)
        self._ids = np.arange(vocabulary_size, dtype=np.int32)
        self._struct = lib.llama_token_data_array()
        self.reference = ctypes.byref(self._struct)
        self._data = self._all.ctypes.data_as(lib.llama_token_data_p)

    def fill(self, logits: Logits) -> Candidates:
        self._all["id"] = self._ids
        self._all["logit"] = logits
        set_fields(self._struct, data=self._data, size=len(self._all), selected=-1, sorted=False)
        return self

    @property
    def selected(self) -> int:
        return int(self._struct.data[self._struct.selected].id)
