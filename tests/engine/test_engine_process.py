"""The engine with the real model, through its sockets."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.protocol import (
    Detokenize,
    Detokenized,
    FinishReason,
    Idle,
    KvCells,
    LoadFailed,
    Phase,
    RefusalKind,
    Refused,
    Report,
    SamplingSettings,
    TextPrompt,
    Tokenize,
    Tokenized,
    TokenPrompt,
)

from .engine_under_test import EngineUnderTest, chat, running_engine, settings_for, token_prompt


@pytest.fixture(scope="module")
def shared_engine(smollm2_path: Path) -> Iterator[EngineUnderTest]:
    with running_engine(smollm2_path) as engine:
        yield engine


@pytest.fixture
def engine(shared_engine: EngineUnderTest) -> EngineUnderTest:
    """The shared engine, with nothing of other tests in its record."""
    shared_engine.reports.clear()
    shared_engine.ticks.clear()
    return shared_engine


def test_ready_tells_what_is_loaded(smollm2_path: Path) -> None:
    with EngineUnderTest(settings_for(smollm2_path)) as engine:
        model = engine.ready().model
        assert engine.stop() == 0
    assert (model.architecture, model.quantization) == ("llama", "Q4_1")
    assert model.num_parameters == 134_515_008
    assert (model.context_length, model.kv_cells) == (2048, 2048)
    assert (model.vocabulary_size, model.num_gpu_layers) == (49152, 0)


def test_an_answer_comes_token_by_token_and_is_sensible(engine: EngineUnderTest) -> None:
    finished = engine.answer(chat("What is the capital of France? Answer in one sentence."), max_tokens=40)

    assert finished.reason is FinishReason.STOP
    assert "Paris" in engine.text_of(finished)
    reports = engine.reports_of(finished.id)
    assert sum(report.prompt.computed for report in reports) == finished.prompt.computed
    assert all(len(report.tokens) <= 1 + report.num_drafted for report in reports)
    assert finished.num_generated_tokens == len(engine.tokens_of(finished.id))


def test_moments_come_in_order(engine: EngineUnderTest) -> None:
    times = engine.answer(chat("Hi"), max_tokens=5, ignore_eos=True).times

    moments = [times.arrived, times.queued, times.scheduled, times.first_token, times.last_token, times.finished]
    known = [moment for moment in moments if moment is not None]
    assert len(known) == 6
    assert known == sorted(known)


def test_every_token_after_the_first_knows_when_the_one_before_was_sampled(engine: EngineUnderTest) -> None:
    request_id = engine.submit(chat("Hi"), max_tokens=4, ignore_eos=True)
    engine.finish(request_id)

    ends = [report.ended for report in engine.reports if any(s.tokens for s in report.sequences)]
    previous = [s.previous_token for s in engine.reports_of(request_id) if s.tokens]
    assert previous == [None, *ends[:3]]
    assert [s.first_token is not None for s in engine.reports_of(request_id) if s.tokens] == [True, False, False, False]


def test_max_tokens_ends_with_length_and_ignore_eos_goes_that_far(engine: EngineUnderTest) -> None:
    prompt = chat("Say only: yes")
    short = engine.answer(prompt, max_tokens=60)
    long = engine.answer(prompt, max_tokens=60, ignore_eos=True)

    assert short.reason is FinishReason.STOP
    assert short.num_generated_tokens < 60
    assert (long.reason, long.num_generated_tokens) == (FinishReason.LENGTH, 60)


def test_a_stop_string_ends_the_answer_before_it(engine: EngineUnderTest) -> None:
    prompt = chat("Count: one, two, three, four, five, six.")
    whole = engine.text_of(engine.answer(prompt, max_tokens=40))
    stop = whole[10:14]

    finished = engine.answer(prompt, max_tokens=40, stop=[stop])

    assert finished.reason is FinishReason.STOP
    assert finished.stop_string == stop
    assert engine.text_of(finished) == whole[: whole.index(stop)]


def test_an_absent_max_tokens_means_up_to_the_end_of_the_context(smollm2_path: Path) -> None:
    with running_engine(smollm2_path, context_length=256) as engine:
        finished = engine.answer(token_prompt(200), ignore_eos=True)
    assert (finished.reason, finished.num_generated_tokens) == (FinishReason.LENGTH, 56)


def test_a_prompt_without_room_for_one_token_is_refused_with_both_numbers(smollm2_path: Path) -> None:
    with running_engine(smollm2_path, context_length=256) as engine:
        refused = engine.refused(token_prompt(256))
        assert engine.answer(token_prompt(255)).num_generated_tokens == 1
    assert refused.kind is RefusalKind.CONTEXT_LENGTH
    assert (refused.num_prompt_tokens, refused.context_length) == (256, 256)


@pytest.mark.parametrize(
    ("prompt", "bias", "param"),
    [
        (TokenPrompt([]), {}, "prompt"),
        (TokenPrompt([1, 49152]), {}, "prompt"),
        (TokenPrompt([-1]), {}, "prompt"),
        (TextPrompt(""), {}, "prompt"),
        (TextPrompt("hi"), {49152: 1.0}, "logit_bias"),
    ],
)
def test_what_llama_cpp_would_choke_on_is_refused(
    engine: EngineUnderTest, prompt: TokenPrompt | TextPrompt, bias: dict[int, float], param: str
) -> None:
    refused = engine.refused(prompt, sampling=SamplingSettings(logit_bias=bias))
    assert (refused.kind, refused.param) == (RefusalKind.INVALID, param)


def test_the_next_turn_computes_only_what_is_new(engine: EngineUnderTest) -> None:
    prompt = token_prompt(120, first=5000)
    first = engine.answer(prompt, max_tokens=8, ignore_eos=True)
    said = engine.tokens_of(first.id)
    # The last sampled token has no cell of its own yet.
    second = engine.answer(TokenPrompt([*prompt.tokens, *said, 77, 78]), max_tokens=1)

    assert (first.prompt.computed, first.prompt.memory) == (120, 0)
    assert (second.prompt.computed, second.prompt.memory) == (3, 127)
    assert sum(report.num_prefix_hit for report in engine.reports) == 127


def test_a_cached_turn_equals_an_uncached_one_over_the_same_chunks(smollm2_path: Path) -> None:
    prompt = token_prompt(120, first=6000)
    with running_engine(smollm2_path) as engine:
        first = engine.answer(prompt, max_tokens=20, ignore_eos=True)
        told = engine.tokens_of(first.id)
        again = engine.answer(prompt, max_tokens=20, ignore_eos=True)
        repeated = engine.tokens_of(again.id)
    assert again.prompt.memory == 119
    assert repeated == told


def test_eight_prompts_share_steps_and_each_gets_its_own_answer(smollm2_path: Path) -> None:
    prompts = [chat(f"What is {n} plus {n}?") for n in range(2, 10)]
    with running_engine(smollm2_path, max_sequences=8, context_length=4096) as engine:
        ids = [engine.submit(prompt, max_tokens=24, ignore_eos=True) for prompt in prompts]
        finished = [engine.finish_any() for _ in ids]
        widest = max(report.num_decode_rows for report in engine.reports)
        lengths = {request_id: len(engine.tokens_of(request_id)) for request_id in ids}
    assert {f.id for f in finished} == set(ids)
    assert lengths == dict.fromkeys(ids, 24)
    assert widest == 8


def test_running_answers_go_on_while_a_long_prompt_is_prefilled(smollm2_path: Path) -> None:
    with running_engine(smollm2_path) as engine:
        talker = engine.submit(chat("Tell me a story."), max_tokens=200, ignore_eos=True)
        engine.wait_for(Report, lambda report: report.num_decode_rows == 1)
        reader = engine.submit(token_prompt(1200), max_tokens=1)
        engine.finish(reader)
        steps = [report for report in engine.reports if any(s.id == reader for s in report.sequences)]
    mixed = [report for report in steps if report.phase is Phase.MIXED]
    assert len(mixed) >= 4
    assert all(any(s.id == talker and s.tokens for s in report.sequences) for report in mixed)


def test_when_cells_run_out_every_answer_is_still_whole(smollm2_path: Path) -> None:
    with running_engine(smollm2_path, context_length=256, max_sequences=3) as engine:
        ids = [engine.submit(token_prompt(60, first=1000 * n), max_tokens=100, ignore_eos=True) for n in (1, 2, 3)]
        finished = {f.id: f for f in (engine.finish_any() for _ in ids)}
        recomputed = sum(r.num_prefill_rows for r in engine.reports) - 3 * 60
    assert [finished[i].num_generated_tokens for i in ids] == [100, 100, 100]
    assert [finished[i].prompt.computed for i in ids] == [60, 60, 60]
    assert recomputed > 0
    assert all(report.kv.used + report.kv.cached <= 256 for report in engine.reports)


def test_a_cancelled_prefill_ends_early_and_frees_its_cells(smollm2_path: Path) -> None:
    with running_engine(smollm2_path) as engine:
        victim = engine.submit(token_prompt(1900), max_tokens=5)
        engine.wait_for(Report)
        engine.cancel(victim)
        finished = engine.finish(victim)
        after = engine.answer(chat("Hi"), max_tokens=3)
        kv = engine.wait_for(Idle).kv
    assert finished.reason is FinishReason.CANCELLED
    assert finished.prompt.computed < 1900
    assert after.reason in {FinishReason.LENGTH, FinishReason.STOP}
    assert kv.used == 0


def test_cancelling_one_changes_nothing_for_the_others(smollm2_path: Path) -> None:
    prompt = chat("Why is the sky blue?")
    with running_engine(smollm2_path) as engine:
        alone = engine.answer(prompt, max_tokens=40, ignore_eos=True)
        expected = engine.tokens_of(alone.id)
        talker = engine.submit(prompt, max_tokens=40, ignore_eos=True)
        for n in range(3):
            victim = engine.submit(token_prompt(800, first=3000 + n), max_tokens=5)
            engine.wait_for(Report)
            engine.cancel(victim)
        finished = engine.finish(talker)
    assert finished.num_generated_tokens == 40
    assert engine.tokens_of(talker)[:8] == expected[:8]


def test_a_cancelled_waiting_request_never_runs(smollm2_path: Path) -> None:
    with running_engine(smollm2_path, max_sequences=1) as engine:
        first = engine.submit(chat("Tell me a story."), max_tokens=50, ignore_eos=True)
        second = engine.submit(chat("Hi"))
        engine.cancel(second)
        finished = engine.finish(second)
        engine.finish(first)
    assert finished.reason is FinishReason.CANCELLED
    assert finished.times.scheduled is None
    assert engine.reports_of(second) == []


def test_cancelling_an_unknown_request_is_ignored(engine: EngineUnderTest) -> None:
    engine.cancel(987654)
    assert engine.answer(chat("Hi"), max_tokens=2).num_generated_tokens >= 1


def test_text_becomes_tokens_and_back(engine: EngineUnderTest) -> None:
    engine.send(Tokenize(900, "Grüße, 世界", add_special=False, parse_special=False))
    tokenized = engine.next_answer()
    assert isinstance(tokenized, Tokenized)
    assert b"".join(tokenized.pieces).decode() == "Grüße, 世界"
    engine.send(Detokenize(901, tokenized.tokens))
    assert engine.next_answer() == Detokenized(901, "Grüße, 世界")


def test_special_tokens_are_read_only_when_asked_for(engine: EngineUnderTest) -> None:
    engine.send(Tokenize(902, "<|im_start|>", add_special=False, parse_special=True))
    special = engine.next_answer()
    engine.send(Tokenize(903, "<|im_start|>", add_special=False, parse_special=False))
    plain = engine.next_answer()
    assert isinstance(special, Tokenized)
    assert isinstance(plain, Tokenized)
    assert special.tokens == [1]
    assert len(plain.tokens) > 1


def test_a_token_outside_the_vocabulary_cannot_be_detokenized(engine: EngineUnderTest) -> None:
    engine.send(Detokenize(904, [3, 49152]))
    answer = engine.next_answer()
    assert isinstance(answer, Refused)
    assert "49151" in answer.message


def test_text_that_would_keep_the_intake_for_long_is_refused(engine: EngineUnderTest) -> None:
    text = "a" * (1024 * 1024 + 1)
    engine.send(Tokenize(905, text, add_special=False, parse_special=False))
    tokenize = engine.next_answer()
    assert isinstance(tokenize, Refused)
    assert "1048577 bytes" in tokenize.message
    assert engine.refused(chat(text)).kind is RefusalKind.INVALID
    assert engine.refused(TextPrompt(text)).param == "prompt"


def test_a_text_of_nothing_but_special_tokens_does_not_keep_the_intake(engine: EngineUnderTest) -> None:
    refused = engine.refused(chat("a<|im_start|>" * 80_000))
    assert refused.kind is RefusalKind.INVALID
    assert "special tokens" in refused.message


def test_more_tokens_than_anybody_reads_are_not_detokenized(engine: EngineUnderTest) -> None:
    engine.send(Detokenize(906, [28] * 200_001))
    answer = engine.next_answer()
    assert isinstance(answer, Refused)
    assert "at most 200000" in answer.message


def test_an_idle_engine_ticks_with_its_memory(engine: EngineUnderTest) -> None:
    tick = engine.wait_for(Idle)
    assert tick.usage.resident_bytes > 100_000_000
    assert 0 < tick.usage.private_bytes < tick.usage.resident_bytes
    assert tick.usage.cpu_seconds > 0


def test_log_probabilities_are_of_the_whole_vocabulary(engine: EngineUnderTest) -> None:
    request_id = engine.submit(chat("Hi"), max_tokens=3, num_logprobs=5)
    engine.finish(request_id)
    for report in engine.reports_of(request_id):
        for entry in report.logprobs or []:
            best = [top.logprob for top in entry.top]
            assert best == sorted(best, reverse=True)
            assert len(best) == 5
            # Greedy: the token chosen is the most likely one.
            assert entry.chosen == entry.top[0]
            assert entry.chosen.logprob < 0


def test_a_seed_makes_an_answer_repeatable(engine: EngineUnderTest) -> None:
    sampling = SamplingSettings(temperature=1.0, top_k=0, seed=42)
    prompt = token_prompt(40, first=9000)
    told = [
        engine.tokens_of(engine.answer(prompt, sampling=s, max_tokens=12, ignore_eos=True).id)
        for s in (sampling, sampling, SamplingSettings(temperature=1.0, top_k=0, seed=43))
    ]
    assert told[0] == told[1]
    assert told[0] != told[2]


def test_a_large_bias_forces_a_token(engine: EngineUnderTest) -> None:
    finished = engine.answer(chat("Hi"), sampling=SamplingSettings(temperature=0, logit_bias={28: 100.0}), max_tokens=4)
    assert engine.tokens_of(finished.id) == [28, 28, 28, 28]


def test_a_file_that_is_no_model_is_a_failed_load(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with EngineUnderTest(settings_for(path)) as engine:
        failed = engine.wait_for(LoadFailed)
        assert engine.process.wait(timeout=30) == 1
    assert "bad.gguf" in failed.message


def test_the_engine_ends_when_its_sockets_do(smollm2_path: Path) -> None:
    with running_engine(smollm2_path) as engine:
        engine.hang_up()
        assert engine.process.wait(timeout=30) == 0


def test_terminal_signals_are_left_to_the_agent(engine: EngineUnderTest) -> None:
    engine.process.send_signal(signal.SIGINT)
    engine.process.send_signal(signal.SIGTERM)
    assert engine.answer(chat("Hi"), max_tokens=2).num_generated_tokens >= 1


def test_the_engine_dies_with_its_parent(smollm2_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tests.engine.engine_under_test import *\n"
        "with EngineUnderTest(settings_for(Path(sys.argv[1]))) as engine:\n"
        "    engine.ready(); sys.stdout.write(f'{engine.process.pid}\\n'); sys.stdout.flush(); time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(smollm2_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        engine_pid = int(parent.stdout.readline())
        pidfd = os.pidfd_open(engine_pid)
        parent.kill()
        wait_for_end(pidfd)
        os.close(pidfd)
    assert not Path(f"/proc/{engine_pid}/exe").exists()


def wait_for_end(pidfd: int) -> None:
    """A pidfd is readable once its process has ended."""
    readable, _, _ = select.select([pidfd], [], [], 30)
    assert readable, "the engine outlived its parent"


def test_a_fresh_engine_holds_nothing(smollm2_path: Path) -> None:
    with running_engine(smollm2_path) as engine:
        assert engine.wait_for(Idle).kv == KvCells(used=0, cached=0, capacity=2048)


def test_the_kernel_is_told_to_take_the_engine_before_the_agent(shared_engine: EngineUnderTest) -> None:
    score = Path(f"/proc/{shared_engine.process.pid}/oom_score_adj").read_text(encoding="ascii")
    assert int(score) == 500
