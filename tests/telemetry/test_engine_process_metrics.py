from __future__ import annotations

import msgspec

from edge_agent.engine_client.listener import EndCause
from edge_agent.protocol import EngineUsage, KvCells
from tests.telemetry.scripted_engine import FACTS, idle, scrape, step, telemetry_of

DIGEST = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
MODEL_INFO = (
    'model_info{architecture="llama",batch_size="512",context_length="2048",file_sha256="0123456789ab",'
    'gpu_layers="0",model="tiny",parameters="134515008",quantization="Q4_1"}'
)


def test_the_engine_is_up_from_ready_to_its_end() -> None:
    telemetry = telemetry_of()
    up = [scrape(telemetry)["engine_up"]]
    telemetry.engine.engine_ready(FACTS)
    up.append(scrape(telemetry)["engine_up"])
    telemetry.engine.engine_ended(EndCause.CRASH)
    up.append(scrape(telemetry)["engine_up"])
    telemetry.engine.engine_ready(FACTS)
    up.append(scrape(telemetry)["engine_up"])
    assert up == [0, 1, 0, 1]


def test_each_end_is_counted_by_its_cause() -> None:
    telemetry = telemetry_of()
    for cause in (EndCause.OOM, EndCause.STALL, EndCause.OOM):
        telemetry.engine.engine_ended(cause)
    shown = scrape(telemetry)
    ends = {cause: shown[f'engine_restarts_total{{cause="{cause}"}}'] for cause in ("crash", "oom", "stall")}
    assert ends == {"crash": 0, "oom": 2, "stall": 1}
    assert shown['engine_restarts_total{cause="load_failed"}'] == 0


def test_the_model_is_described_when_it_is_loaded() -> None:
    telemetry = telemetry_of(file_sha256=DIGEST)
    assert not any(series.startswith("model_info") for series in scrape(telemetry))
    telemetry.engine.engine_ready(FACTS)
    shown = scrape(telemetry)
    assert shown[MODEL_INFO] == 1
    assert shown['model_load_seconds{model="tiny"}'] == 1.5
    assert shown['model_size_bytes{model="tiny"}'] == 98000000
    assert shown['kv_cells_capacity{model="tiny"}'] == 4096


def test_another_description_takes_the_place_of_the_last_one() -> None:
    telemetry = telemetry_of(file_sha256=DIGEST)
    telemetry.engine.engine_ready(FACTS)
    telemetry.engine.engine_ended(EndCause.CRASH)
    telemetry.engine.engine_ready(msgspec.structs.replace(FACTS, num_gpu_layers=12))
    described = [series for series in scrape(telemetry) if series.startswith("model_info")]
    assert described == [MODEL_INFO.replace('gpu_layers="0"', 'gpu_layers="12"')]


def test_the_heartbeat_is_the_wall_clock_time_of_the_last_message() -> None:
    telemetry = telemetry_of(monotonic_now=100.0, wall_now=1_700_000_000.0)
    telemetry.engine.idle(idle(at=99.5))
    assert scrape(telemetry)["engine_heartbeat_timestamp_seconds"] == 1_699_999_999.5
    telemetry.engine.report(step(started=99.5, ended=99.75, num_decode_rows=1))
    assert scrape(telemetry)["engine_heartbeat_timestamp_seconds"] == 1_699_999_999.75


def test_cpu_time_goes_on_rising_over_a_restart() -> None:
    telemetry = telemetry_of()
    seen = []
    telemetry.engine.engine_ready(FACTS)
    telemetry.engine.idle(idle(at=1.0, cpu_seconds=2.0))
    telemetry.engine.idle(idle(at=2.0, cpu_seconds=5.0))
    seen.append(scrape(telemetry)["engine_cpu_seconds_total"])
    telemetry.engine.engine_ended(EndCause.OOM)
    telemetry.engine.engine_ready(FACTS)
    seen.append(scrape(telemetry)["engine_cpu_seconds_total"])
    # The second process has used more, by its first word, than the first had: all of it is new.
    telemetry.engine.idle(idle(at=3.0, cpu_seconds=6.0))
    seen.append(scrape(telemetry)["engine_cpu_seconds_total"])
    telemetry.engine.idle(idle(at=4.0, cpu_seconds=6.5))
    seen.append(scrape(telemetry)["engine_cpu_seconds_total"])
    # 5; 5; 5 + 6; 5 + 6.5.
    assert seen == [5.0, 5.0, 11.0, 11.5]


def test_a_restart_lowers_no_counter() -> None:
    telemetry = telemetry_of()
    telemetry.engine.engine_ready(FACTS)
    telemetry.engine.report(
        step(started=1.0, ended=1.5, num_decode_rows=2, usage=EngineUsage(9000, 4000, cpu_seconds=3.0))
    )
    before = scrape(telemetry)
    telemetry.engine.engine_ended(EndCause.CRASH)
    telemetry.engine.engine_ready(FACTS)
    telemetry.engine.idle(idle(at=2.0, cpu_seconds=0.25))
    after = scrape(telemetry)
    rising = [series for series in before if "_total" in series or "_count" in series or "_bucket" in series]
    assert [series for series in rising if after[series] < before[series]] == []
    assert after["engine_cpu_seconds_total"] == 3.25


def test_memory_and_cells_are_shown_and_end_with_the_process() -> None:
    telemetry = telemetry_of()
    names = (
        "engine_resident_memory_bytes",
        "engine_private_memory_bytes",
        'kv_cells_used{model="tiny"}',
        'kv_cells_cached{model="tiny"}',
        'kv_cells_capacity{model="tiny"}',
    )
    telemetry.engine.engine_ready(FACTS)
    telemetry.engine.report(
        step(
            started=1.0,
            ended=2.0,
            num_decode_rows=1,
            kv=KvCells(used=30, cached=12, capacity=4096),
            usage=EngineUsage(resident_bytes=9000, private_bytes=4000, cpu_seconds=1.0),
        )
    )
    shown = scrape(telemetry)
    assert [shown[name] for name in names] == [9000, 4000, 30, 12, 4096]
    telemetry.engine.engine_ended(EndCause.CRASH)
    shown = scrape(telemetry)
    assert [shown[name] for name in names] == [0, 0, 0, 0, 0]


def test_a_report_without_usage_leaves_memory_as_it_was() -> None:
    telemetry = telemetry_of()
    usage = EngineUsage(resident_bytes=9000, private_bytes=4000, cpu_seconds=1.0)
    telemetry.engine.report(step(started=1.0, ended=2.0, num_decode_rows=1, usage=usage))
    telemetry.engine.report(step(started=2.0, ended=3.0, num_decode_rows=1))
    assert scrape(telemetry)["engine_resident_memory_bytes"] == 9000
