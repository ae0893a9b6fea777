from __future__ import annotations

from typing import Any

import msgspec

from edge_agent.benchmark.bench_report import BenchReport, Heat, bench_table, ceiling
from edge_agent.benchmark.board_speeds import BoardSpeeds, DecodeSpeed
from edge_agent.protocol import EngineUsage
from edge_agent.tuned_settings import TunedSettings
from tests.engine_client.scripted_engine import MODEL

SETTINGS = TunedSettings(
    kv_cache_type="q8_0",
    flash_attention=True,
    micro_batch_tokens=128,
    repack=False,
    num_threads=3,
    num_threads_batch=4,
)


def report(**changes: Any) -> BenchReport:
    whole = BenchReport(
        model="tiny",
        facts=msgspec.structs.replace(MODEL, size_bytes=2_000_000_000),
        cpu="Raspberry Pi 5",
        settings=SETTINGS,
        is_tuned=True,
        speeds=BoardSpeeds(
            num_prefill_tokens=64,
            prefill_tokens_per_second=18.25,
            decode=(
                DecodeSpeed(num_sequences=1, tokens_per_second=4.0),
                DecodeSpeed(num_sequences=4, tokens_per_second=10.0),
            ),
            num_first_token_prompt_tokens=128,
            time_to_first_token_seconds=7.125,
        ),
        usage=EngineUsage(resident_bytes=2_500_000_000, private_bytes=400_000_000, cpu_seconds=9.0),
        bandwidth_bytes_per_second=10e9,
        ceiling_tokens_per_second=5.0,
        heat=Heat(sensor="cpu-thermal", before_celsius=48.0, after_celsius=71.5),
        is_held_back=False,
    )
    return msgspec.structs.replace(whole, **changes)


def test_the_table_is_aligned_and_says_everything() -> None:
    settings = "threads 3, prefill threads 4, KV q8_0, flash attention on, micro batch 128, repack off"
    assert bench_table(report()).splitlines() == [
        "model        tiny                                 llama Q4_1, 2.00 GB of weights",
        "board        Raspberry Pi 5                       llama-cpp-python 0.0.0",
        f"settings     measured to be best                  {settings}",
        "prefill      a prompt of 64 tokens                18.2 tokens/s",
        "decode       1 at once                            4.0 tokens/s",
        "decode       4 at once                            10.0 tokens/s together, 2.5 each",
        "first token  a prompt of 128 tokens, none cached  7.12 s",
        "memory       2.50 GB resident                     400 MB of it private",
        "bandwidth    10.00 GB/s                           5.0 tokens/s at most for 1 sequence; 80% of it reached",
        "temperature  cpu-thermal                          48.0 °C before, 71.5 °C after",
    ]


def test_what_the_board_does_not_tell_has_no_line() -> None:
    lines = bench_table(report(heat=None, bandwidth_bytes_per_second=None, ceiling_tokens_per_second=None)).splitlines()
    assert [line.split()[0] for line in lines] == [
        "model", "board", "settings", "prefill", "decode", "decode", "first", "memory",
    ]  # fmt: skip


def test_a_board_that_was_held_back_is_told_so() -> None:
    last = bench_table(report(is_held_back=True)).splitlines()[-1]
    assert last.startswith("held back    throttled meanwhile")


def test_the_ceiling_is_where_the_weights_take_all_of_the_bandwidth() -> None:
    assert ceiling(bandwidth_bytes_per_second=10e9, weight_bytes=2_000_000_000) == 5.0
    assert ceiling(bandwidth_bytes_per_second=None, weight_bytes=2_000_000_000) is None
    assert ceiling(bandwidth_bytes_per_second=10e9, weight_bytes=0) is None


def test_json_has_the_same_numbers() -> None:
    decoded = msgspec.json.decode(msgspec.json.encode(report()))
    assert decoded["speeds"]["decode"][1] == {"num_sequences": 4, "tokens_per_second": 10.0}
    assert decoded["heat"]["after_celsius"] == 71.5
    assert decoded["settings"]["kv_cache_type"] == "q8_0"
