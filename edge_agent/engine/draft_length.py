"""How many tokens are drafted for each sequence in a step: as many as give everybody in it most tokens a second.

Pure but for the probes that it lets sequences pay for; knows neither tokens nor llama.cpp. A longer step delays all
who are in it, so one sequence's draft is weighed against everyone's next token.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_agent.engine.draft_acceptance import DraftAcceptance


@dataclass(frozen=True, slots=True)
class DraftOffer:
    """What one sequence could draft; `max_tokens` 0 where it has no match, or may not draft."""

    acceptance: DraftAcceptance
    match_length: int
    max_tokens: int


def draft_lengths(
    offers: list[DraftOffer], *, num_rows: int, max_tokens: int, seconds_of: Callable[[int], float]
) -> list[int]:
    """Tokens to draft for each offer, together at most `max_tokens`.

    There is one offer for each sequence that gets a token in this step. `num_rows` are the step's rows without drafts,
    `seconds_of` tells what a step of so many rows takes.
    """
    lengths = [0] * len(offers)
    for index in _paying_tokens(offers, num_rows, max_tokens, seconds_of):
        lengths[index] += 1
    _add_probes(offers, lengths, num_rows, max_tokens, seconds_of)
    return lengths


def _paying_tokens(
    offers: list[DraftOffer], num_rows: int, max_tokens: int, seconds_of: Callable[[int], float]
) -> list[int]:
    """Whose tokens are drafted, the likeliest first: as many as make most expected tokens a second."""
    if not any(offer.max_tokens for offer in offers):
        return []
    owners: list[int] = []
    expected_tokens = float(len(offers))
    best_rate, best_count = expected_tokens / seconds_of(num_rows), 0
    for chance, owner in itertools.islice(_likeliest_tokens(offers), max_tokens):
        owners.append(owner)
        expected_tokens += chance
        rate = expected_tokens / seconds_of(num_rows + len(owners))
        if rate > best_rate:
            best_rate, best_count = rate, len(owners)
    return owners[:best_count]


def _likeliest_tokens(offers: list[DraftOffer]) -> Iterator[tuple[float, int]]:
    """Chance that it becomes part of the text, and owner, of each token that could be drafted, the likeliest first.

    A sequence's i-th token counts only if all before it are right: its chance is the i-th power.
    """
    heap: list[tuple[float, int, int]] = []
    chances = [offer.acceptance.chance(offer.match_length) for offer in offers]
    for owner, offer in enumerate(offers):
        if offer.max_tokens > 0:
            heap.append((-chances[owner], owner, 1))
    heapq.heapify(heap)
    while heap:
        negative, owner, count = heap[0]
        yield -negative, owner
        if count < offers[owner].max_tokens:
            heapq.heapreplace(heap, (negative * chances[owner], owner, count + 1))
        else:
            heapq.heappop(heap)


def _add_probes(
    offers: list[DraftOffer],
    lengths: list[int],
    num_rows: int,
    max_tokens: int,
    seconds_of: Callable[[int], float],
) -> None:
    """One token for each sequence that has a match, drafts nothing, and has saved up for it."""
    num_left = max_tokens - sum(lengths)
    seconds = seconds_of(num_rows + sum(lengths))
    for index, offer in enumerate(offers):
        if lengths[index] > 0:
            continue
        offer.acceptance.earn_probes(seconds / len(offers))
        if offer.max_tokens == 0 or num_left == 0:
            continue
        longer = seconds_of(num_rows + sum(lengths) + 1)
        if offer.acceptance.spend_probe(longer - seconds):
            lengths[index] = 1
            num_left -= 1
            seconds = longer
