from __future__ import annotations

import msgspec

from edge_agent.tuning.record import make_record
from edge_agent.tuning.search import Search
from edge_agent.tuning.tuning_table import tuning_table
from tests.tuning.choices import DEFAULT, KEY, speeds

BASE = speeds(100.0, 10.0)


def test_each_change_is_a_line_and_the_choice_and_its_reason_follow() -> None:
    search = Search(
        DEFAULT,
        [{"repack": False}, {"kv_cache_type": "q8_0"}, {"num_threads": 3}, {"micro_batch_tokens": 128}],
        prefer="balanced",
    )
    search.note_speeds(speeds(90.0, 10.0), before=BASE, after=BASE)
    search.note_speeds(speeds(81.0, 16.0), before=BASE, after=BASE)
    search.note_failure("the engine ended: " + "x" * 100)
    search.note_skip("too little memory")
    record = msgspec.structs.replace(make_record(KEY, search), why="because")
    assert tuning_table(record).splitlines() == [
        "CHANGE           PREFILL  DECODE  INSTEAD OF        GAIN",
        "repack off       90.0     10.0    100.0       10.0  -5.1%   not taken",
        "KV q8_0          81.0     16.0    100.0       10.0  +13.8%  taken",
        "threads 3        -        -       -           -     -       failed: the engine ended: " + "x" * 42,
        "micro batch 128  -        -       -           -     -       left out: too little memory",
        "",
        "choice: threads 4, prefill threads 4, KV q8_0, flash attention on, micro batch 512, repack on",
        "why: because",
    ]


def test_without_a_change_to_try_only_the_choice_is_shown() -> None:
    record = make_record(KEY, Search(DEFAULT, [], prefer="balanced"))
    assert tuning_table(record).splitlines()[0].startswith("choice: threads 4")
