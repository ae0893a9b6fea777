"""Native samplers on rows of logits made by hand, with the real vocabulary."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_agent.engine.llama import Logits
from edge_agent.engine.llama_model import LlamaModel
from edge_agent.engine.native_samplers import Candidates
from edge_agent.engine.sampling import TokenSampler, log_probabilities, make_sampler
from edge_agent.protocol import SamplingSettings


@pytest.fixture(scope="module")
def model(smollm2_path: Path) -> Iterator[LlamaModel]:
    model = LlamaModel(
        str(smollm2_path), num_gpu_layers=0, mmap=True, mlock=False, repack=True, on_progress=lambda _: None
    )
    yield model
    model.close()


def row(model: LlamaModel, values: dict[int, float]) -> Logits:
    logits = np.full(model.num_tokens, -20.0, dtype=np.float32)
    for token, value in values.items():
        logits[token] = value
    return logits


def sampler(
    model: LlamaModel, settings: SamplingSettings, *, prompt: list[int] | None = None, ignore_eos: bool = False
) -> TokenSampler:
    return make_sampler(
        settings,
        model=model,
        candidates=Candidates(model.num_tokens),
        prompt=prompt or [100],
        ignore_eos=ignore_eos,
    )


def draw(chosen: TokenSampler, logits: Logits, count: int) -> list[int]:
    tokens = []
    for _ in range(count):
        tokens.append(chosen.sample(logits))
        chosen.accept(tokens[-1])
    return tokens


def test_temperature_0_takes_the_largest_logit(model: LlamaModel) -> None:
    chosen = sampler(model, SamplingSettings(temperature=0))
    assert draw(chosen, row(model, {500: 3.0, 501: 2.9}), 3) == [500, 500, 500]


def test_a_temperature_too_small_to_divide_by_is_temperature_0(model: LlamaModel) -> None:
    for temperature in (1e-45, 1e-38, 1e-10):
        chosen = sampler(model, SamplingSettings(temperature=temperature, top_k=0, seed=7))
        assert draw(chosen, row(model, {500: 3.0, 501: 2.9}), 3) == [500, 500, 500]


def test_a_distribution_is_drawn_from_in_proportion(model: LlamaModel) -> None:
    chosen = sampler(model, SamplingSettings(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=7))
    # exp(ln 3) : exp(0) is 3 : 1.
    tokens = draw(chosen, row(model, {500: math.log(3.0), 501: 0.0}), 2000)
    assert set(tokens) == {500, 501}
    # 1500 expected, standard deviation 19: five of them either way.
    assert 1400 < tokens.count(500) < 1600


def test_top_k_cuts_all_but_the_best(model: LlamaModel) -> None:
    chosen = sampler(model, SamplingSettings(temperature=5.0, top_k=2, seed=7))
    assert set(draw(chosen, row(model, {500: 1.0, 501: 0.9, 502: 0.8}), 100)) == {500, 501}


def test_top_p_cuts_the_tail(model: LlamaModel) -> None:
    # 0.9 and 0.1: the first alone reaches 0.8.
    chosen = sampler(model, SamplingSettings(temperature=1.0, top_k=0, top_p=0.8, seed=7))
    assert set(draw(chosen, row(model, {500: math.log(9.0), 501: 0.0}), 100)) == {500}


def test_min_p_cuts_what_is_far_below_the_best(model: LlamaModel) -> None:
    chosen = sampler(model, SamplingSettings(temperature=1.0, top_k=0, min_p=0.5, seed=7))
    assert set(draw(chosen, row(model, {500: 1.0, 501: 0.9, 502: 0.0}), 100)) == {500, 501}


def test_a_repeated_token_is_penalised_with_the_prompt_counted(model: LlamaModel) -> None:
    settings = SamplingSettings(temperature=0, repeat_penalty=2.0)
    logits = row(model, {500: 3.0, 501: 2.0})
    # 3 / 2 is less than 2: the token of the prompt loses.
    assert sampler(model, settings, prompt=[500]).sample(logits) == 501
    assert sampler(model, settings, prompt=[9]).sample(logits) == 500


def test_presence_and_frequency_penalties_count_what_was_said(model: LlamaModel) -> None:
    logits = row(model, {500: 3.0, 501: 2.5})
    presence = sampler(model, SamplingSettings(temperature=0, presence_penalty=0.6))
    assert draw(presence, logits, 3) == [500, 501, 500]
    # 3.0, then 2.7 and 2.4 after one and two uses, against 2.5.
    frequency = sampler(model, SamplingSettings(temperature=0, frequency_penalty=0.3))
    assert draw(frequency, logits, 3) == [500, 500, 501]


def test_ignore_eos_never_samples_an_end_of_generation_token(model: LlamaModel) -> None:
    end = min(model.end_tokens)
    logits = row(model, {end: 50.0, 500: 1.0})
    assert sampler(model, SamplingSettings(temperature=0)).sample(logits) == end
    assert sampler(model, SamplingSettings(temperature=0), ignore_eos=True).sample(logits) == 500


def test_logit_bias_is_added(model: LlamaModel) -> None:
    settings = SamplingSettings(temperature=0, logit_bias={501: 2.0, 500: -1.0})
    assert sampler(model, settings).sample(row(model, {500: 3.0, 501: 1.0})) == 501


def test_rolling_back_forgets_penalties_and_random_state(model: LlamaModel) -> None:
    chosen = sampler(model, SamplingSettings(temperature=1.0, top_k=0, presence_penalty=0.4, seed=11))
    logits = row(model, {500 + n: 1.0 for n in range(20)})
    draw(chosen, logits, 5)
    checkpoint = chosen.checkpoint()
    first = draw(chosen, logits, 8)

    chosen.roll_back(checkpoint)

    assert draw(chosen, logits, 8) == first


def test_sampling_alone_changes_no_penalty(model: LlamaModel) -> None:
    chosen = sampler(model, SamplingSettings(temperature=0, presence_penalty=1.0))
    logits = row(model, {500: 3.0, 501: 2.5})
    assert [chosen.sample(logits), chosen.sample(logits)] == [500, 500]
    chosen.accept(500)
    assert chosen.sample(logits) == 501


def test_log_probabilities_equal_the_softmax_by_hand(model: LlamaModel) -> None:
    # Two tokens of 0.75 and 0.25; the other 49,150 at -1000 add nothing.
    logits = np.full(model.num_tokens, -1000.0, dtype=np.float32)
    logits[500], logits[501] = math.log(3.0), 0.0
    entry = log_probabilities(logits, 501, num_top=2, model=model)
    assert entry.chosen.logprob == pytest.approx(math.log(0.25), abs=1e-6)
    assert [(top.token, round(top.logprob, 5)) for top in entry.top] == [(500, -0.28768), (501, -1.38629)]
