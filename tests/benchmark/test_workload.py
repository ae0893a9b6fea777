from __future__ import annotations

import itertools

from edge_agent.benchmark.speeds import Speeds
from edge_agent.benchmark.workload import Prompts, Sizes, sizes_for


def test_a_thousand_prompts_begin_with_a_thousand_tokens_of_the_vocabulary() -> None:
    prompts = Prompts(49152)
    firsts = {prompts.make(2).tokens[0] for _ in range(1000)}
    assert len(firsts) == 1000
    assert all(0 <= token < 49152 for token in firsts)


def test_a_prompt_has_the_length_that_was_asked_for_and_no_repeated_neighbours() -> None:
    tokens = Prompts(262144).make(512).tokens
    assert len(tokens) == 512
    assert all(one != other for one, other in itertools.pairwise(tokens))


def test_sizes_are_what_the_board_does_in_the_time() -> None:
    sizes = sizes_for(Speeds(prefill=100.0, decode=10.0), seconds=2.5, context_length=4096)
    assert sizes == Sizes(num_prefill_tokens=250, num_decode_tokens=25)


def test_a_slow_board_is_asked_enough_to_tell_something() -> None:
    sizes = sizes_for(Speeds(prefill=2.0, decode=0.5), seconds=2.5, context_length=4096)
    assert sizes == Sizes(num_prefill_tokens=64, num_decode_tokens=8)


def test_a_fast_board_is_not_asked_for_ever() -> None:
    sizes = sizes_for(Speeds(prefill=9000.0, decode=900.0), seconds=10.0, context_length=4096)
    assert sizes == Sizes(num_prefill_tokens=512, num_decode_tokens=64)


def test_sizes_leave_room_in_the_shortest_context() -> None:
    sizes = sizes_for(Speeds(prefill=9000.0, decode=900.0), seconds=10.0, context_length=256)
    assert sizes == Sizes(num_prefill_tokens=128, num_decode_tokens=16)
