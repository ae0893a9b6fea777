"""Chooses the next token of one sequence from a row of logits: native samplers, in llama-server's order.

`sample` proposes, `accept` commits, and a checkpoint taken before can be rolled back to: a drafted token that is
refused leaves no trace in penalties or random state. Owned by the step loop.
"""

from __future__ import annotations

import numpy as np

from edge_agent.engine.llama import Logits
from edge_agent.engine.llama_model import LlamaModel
from edge_agent.engine.native_samplers import Candidates, SamplerChain
from edge_agent.protocol import SamplingSettings, TokenLogprob, TokenLogprobs

# llama.cpp takes seeds of 32 bits.
MAX_SEED = 2**32 - 1
# Below, logits divided by the temperature overflow their 32 bits; the distribution is the likeliest token long before.
MIN_TEMPERATURE = 1e-4


class TokenSampler:
    """One sequence's biases and chain. Without penalties, temperature 0 is the largest logit and needs no chain."""

    def __init__(self, chain: SamplerChain | None, candidates: Candidates, bias: dict[int, float]) -> None:
        self._chain = chain
        self._candidates = candidates
        self._biased = np.array(list(bias), dtype=np.intp)
        self._bias = np.array(list(bias.values()), dtype=np.float32)

    def sample(self, logits: Logits) -> int:
        """The token for this row of logits, shape (vocabulary,). It counts only once it is accepted.

        Biases are added to the row in place: a row is sampled once.
        """
        if len(self._biased):
            logits[self._biased] += self._bias
        if self._chain is None:
            return int(np.argmax(logits))
        return self._chain.select(self._candidates.fill(logits))

    def accept(self, token: int) -> None:
        """The token is part of the text now: penalties see it."""
        if self._chain is not None:
            self._chain.accept(token)

    def checkpoint(self) -> SamplerChain | None:
        """The state to roll back to; it is handed back to `roll_back` or closed by the caller."""
        return None if self._chain is None else self._chain.clone()

    def roll_back(self, checkpoint: SamplerChain | None) -> None:
        """Forget what was sampled and accepted since the checkpoint, which is used up by this."""
        self.close()
        self._chain = checkpoint

    def close(self) -> None:
        """Free the chain; a second call does nothing."""
        if self._chain is not None:
            self._chain.close()


def make_sampler(
    settings: SamplingSettings, *, model: LlamaModel, candidates: Candidates, prompt: list[int], ignore_eos: bool
) -> TokenSampler:
    """The chain for a request; penalties start from the prompt's last tokens, as in llama-server."""
    bias = dict(settings.logit_bias)
    if ignore_eos:
        bias.update(dict.fromkeys(model.end_tokens, float("-inf")))
    if settings.temperature < MIN_TEMPERATURE and not _has_penalties(settings):
        return TokenSampler(None, candidates, bias)
    chain = SamplerChain()
    if _has_penalties(settings):
        chain.add_penalties(
            model.num_tokens,
            settings.penalty_last_n,
            repeat=settings.repeat_penalty,
            frequency=settings.frequency_penalty,
            presence=settings.presence_penalty,
        )
    _add_selection(chain, settings)
    for token in prompt[-settings.penalty_last_n :] if _has_penalties(settings) else ():
        chain.accept(token)
    return TokenSampler(chain, candidates, bias)


def _has_penalties(settings: SamplingSettings) -> bool:
    return settings.penalty_last_n > 0 and (
        settings.repeat_penalty != 1 or settings.presence_penalty != 0 or settings.frequency_penalty != 0
    )


def _add_selection(chain: SamplerChain, settings: SamplingSettings) -> None:
    if settings.temperature < MIN_TEMPERATURE:
        chain.add_greedy()
        return
    chain.add_cuts(top_k=settings.top_k, top_p=settings.top_p, min_p=settings.min_p)
    seed = settings.seed if settings.seed is not None else int(np.random.default_rng().integers(MAX_SEED))
    chain.add_distribution(temperature=settings.temperature, seed=seed & MAX_SEED)


def log_probabilities(logits: Logits, token: int, *, num_top: int, model: LlamaModel) -> TokenLogprobs:
    """Log-softmax of the row for `token` and its `num_top` most likely tokens, before any sampler."""
    shifted = logits - logits.max()
    normaliser = float(np.log(np.exp(shifted, dtype=np.float64).sum()))

    def entry(index: int) -> TokenLogprob:
        return TokenLogprob(index, model.piece(index, special=True), float(shifted[index]) - normaliser)

    if num_top == 0:
        return TokenLogprobs(entry(token))
    best = np.argpartition(shifted, -num_top)[-num_top:]
    ordered = best[np.argsort(-shifted[best], kind="stable")]
    return TokenLogprobs(entry(token), [entry(int(index)) for index in ordered])
