"""Engines that die, hang, misbehave or cannot load: what requests, the listener and the state say of it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edge_agent.engine_client.generation import Generation
from edge_agent.engine_client.listener import EndCause, EngineState
from edge_agent.engine_client.watch_limits import WatchLimits
from edge_agent.errors import EngineLostError, EngineUnavailableError, ModelFileError
from edge_agent.frames import FRAME_HEADER, MAX_FRAME_BYTES, encode_frame
from edge_agent.protocol import (
    Accepted,
    Detokenized,
    LoadFailed,
    LoadProgress,
    RefusalKind,
    Refused,
    Report,
    SequenceReport,
)
from tests.engine_client.conftest import Bench, StartClient, child_pids, make_request
from tests.engine_client.recording_listener import RecordingListener
from tests.engine_client.scripted_engine import (
    READY,
    Await,
    CloseReports,
    Exit,
    Hang,
    Reply,
    Say,
    SendRaw,
    Serve,
    Signal,
    TickDeaf,
    WriteStderr,
    make_finished,
    make_report,
)

ENDLESS = Serve(is_endless=True)
KILLED = Signal(signal.SIGKILL)
ABORTED = Signal(signal.SIGABRT)
# Silence of half a second is a stall once a step was done; loading may take as long as the test.
IMPATIENT = WatchLimits(report_stall_seconds=0.5, intake_stall_seconds=30, first_backoff_seconds=0.01)


class FailingListener(RecordingListener):
    def report(self, report: Report) -> None:
        raise RuntimeError("broken counter")


def engine_pid() -> int:
    (pid,) = child_pids()
    return pid


async def ended(bench: Bench, *, times: int = 1) -> None:
    await bench.listener.wait_until(lambda: len(bench.listener.causes) == times)


async def ready_again(bench: Bench) -> None:
    await bench.listener.wait_until(lambda: len(bench.listener.models) == 2)


async def drain(generation: Generation) -> int:
    """How many items are yet to come."""
    return len([item async for item in generation])


async def expect_whole_answer(bench: Bench) -> None:
    assert await drain(await bench.client.submit(make_request())) == 3


# --- ends while it serves ----------------------------------------------------------------------------------------


async def test_an_answer_cut_off_by_a_kill_is_lost_and_the_next_one_is_whole(start_client: StartClient) -> None:
    bench = await start_client([READY, ENDLESS], [READY, Serve()])
    await bench.client.wait_settled()
    generation = await bench.client.submit(make_request())
    await anext(generation)
    os.kill(engine_pid(), signal.SIGKILL)
    with pytest.raises(EngineLostError, match=r"engine ended .* \(cause: crash\): send it again"):
        await drain(generation)
    assert bench.client.state is EngineState.RESTARTING
    assert (bench.client.num_running, bench.client.num_waiting) == (0, 0)
    assert bench.listener.causes == [EndCause.CRASH]
    await ready_again(bench)
    await expect_whole_answer(bench)
    assert bench.num_spawned == 2


async def test_a_submission_and_a_tokenization_that_wait_are_lost_with_the_engine(start_client: StartClient) -> None:
    bench = await start_client([READY, Await("submit"), Await("tokenize"), Exit(3)], [READY, Serve()])
    await bench.client.wait_settled()
    waiting = await asyncio.gather(
        bench.client.submit(make_request()),
        bench.client.tokenize("a", add_special=False, parse_special=False),
        return_exceptions=True,
    )
    assert [type(error) for error in waiting] == [EngineLostError, EngineLostError]
    assert bench.listener.causes == [EndCause.CRASH]


async def test_what_the_engine_said_before_its_end_is_still_read(start_client: StartClient) -> None:
    bench = await start_client(
        [
            READY,
            Await("submit"),
            Reply(Accepted(1, 4)),
            Say(make_report(SequenceReport(id=1, text="last words"))),
            Say(make_finished(1)),
            ABORTED,
        ],
        [READY, Serve()],
    )
    await bench.client.wait_settled()
    generation = await bench.client.submit(make_request())
    await ended(bench)
    assert await drain(generation) == 2
    assert bench.listener.calls[-1] == "engine_ended"


async def test_while_the_engine_restarts_clients_are_told_when_to_come_again(start_client: StartClient) -> None:
    limits = WatchLimits(first_backoff_seconds=20.0)
    bench = await start_client([READY, Exit(0)], limits=limits)
    await ended(bench)
    with pytest.raises(EngineUnavailableError, match="restarted") as raised:
        bench.client.check_capacity()
    assert raised.value.retry_after_seconds in {20, 21}


async def test_stop_during_the_pause_before_a_restart_returns_at_once(start_client: StartClient) -> None:
    bench = await start_client([READY, Exit(0)], limits=WatchLimits(first_backoff_seconds=3600.0))
    await ended(bench)
    await bench.client.stop()
    assert bench.num_spawned == 1


async def test_a_sigkill_with_a_risen_count_of_the_kernel_is_oom(start_client: StartClient, tmp_path: Path) -> None:
    vmstat = tmp_path / "proc" / "vmstat"
    vmstat.parent.mkdir()
    vmstat.write_text("nr_free_pages 5\noom_kill 2\n")
    bench = await start_client([READY, Await("submit"), KILLED], [READY, Serve()], filesystem_root=tmp_path)
    await bench.client.wait_settled()
    vmstat.write_text("nr_free_pages 5\noom_kill 3\n")
    with pytest.raises(EngineLostError, match="cause: oom"):
        await bench.client.submit(make_request())
    assert bench.listener.causes == [EndCause.OOM]


async def test_a_sigkill_with_an_unchanged_count_is_a_crash(start_client: StartClient, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "vmstat").write_text("oom_kill 2\n")
    bench = await start_client([READY, KILLED], [READY, Serve()], filesystem_root=tmp_path)
    await ended(bench)
    assert bench.listener.causes == [EndCause.CRASH]


async def test_a_listener_that_fails_costs_no_answer(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve()], listener=FailingListener())
    await bench.client.wait_settled()
    await expect_whole_answer(bench)
    assert bench.listener.causes == []


# --- stalls ------------------------------------------------------------------------------------------------------


async def test_a_stopped_engine_is_a_stall_and_is_killed(start_client: StartClient) -> None:
    bench = await start_client([READY, ENDLESS], [READY, Serve()], limits=IMPATIENT)
    await bench.client.wait_settled()
    generation = await bench.client.submit(make_request())
    await anext(generation)
    pid = engine_pid()
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(EngineLostError, match="cause: stall"):
        await drain(generation)
    assert bench.listener.causes == [EndCause.STALL]
    await ready_again(bench)
    assert pid not in child_pids()


async def test_before_the_first_step_is_done_silence_is_not_a_stall(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve(tick_seconds=0.8)], limits=IMPATIENT)
    await bench.client.wait_settled()
    await bench.listener.wait_until(lambda: bench.listener.num_ticks == 1)
    await expect_whole_answer(bench)
    assert bench.listener.causes == []


async def test_a_load_without_progress_is_a_stall(start_client: StartClient) -> None:
    limits = WatchLimits(load_stall_seconds=0.3, first_backoff_seconds=0.01, max_load_attempts=1)
    bench = await start_client([Hang()], limits=limits)
    await bench.client.wait_settled()
    assert bench.client.state is EngineState.LOAD_FAILED
    assert bench.listener.causes == [EndCause.STALL]


async def test_an_intake_that_owes_an_answer_is_a_stall_though_the_step_loop_lives(start_client: StartClient) -> None:
    limits = WatchLimits(intake_stall_seconds=0.1, first_backoff_seconds=0.01)
    bench = await start_client([READY, TickDeaf()], [READY, Serve()], limits=limits)
    await bench.client.wait_settled()
    with pytest.raises(EngineLostError, match="cause: stall"):
        await bench.client.tokenize("a", add_special=False, parse_special=False)
    assert bench.listener.causes == [EndCause.STALL]


async def test_an_intake_that_owes_nothing_may_be_silent(start_client: StartClient) -> None:
    limits = WatchLimits(intake_stall_seconds=0.5, first_backoff_seconds=0.01)
    bench = await start_client([READY, Serve(tick_seconds=0.1)], limits=limits)
    await bench.client.wait_settled()
    await bench.client.tokenize("a", add_special=False, parse_special=False)
    await bench.listener.wait_until(lambda: bench.listener.num_ticks == 6)
    assert bench.listener.causes == []


async def test_an_intake_that_owes_only_a_client_that_has_gone_is_still_a_stall(start_client: StartClient) -> None:
    limits = WatchLimits(intake_stall_seconds=0.1, first_backoff_seconds=0.01)
    bench = await start_client([READY, TickDeaf()], [READY, Serve()], limits=limits)
    await bench.client.wait_settled()
    submission = asyncio.create_task(bench.client.submit(make_request()))
    await bench.listener.wait_until(lambda: bench.listener.counts == [(0, 1)])
    submission.cancel()
    await ended(bench)
    assert bench.listener.causes == [EndCause.STALL]
    assert bench.listener.counts == [(0, 1), (0, 0)]


# --- what cannot be trusted --------------------------------------------------------------------------------------


UNTRUSTED = {
    "oversized length": SendRaw(FRAME_HEADER.pack(MAX_FRAME_BYTES + 1)),
    "no msgpack": SendRaw(FRAME_HEADER.pack(4) + b"\xc1\xc1\xc1\xc1"),
    "cut msgpack": SendRaw(FRAME_HEADER.pack(1) + b"\x85"),
    "empty frame": SendRaw(FRAME_HEADER.pack(0)),
    "unknown type": SendRaw(FRAME_HEADER.pack(12) + msgspec.msgpack.encode({"type": "abcde"})),
    "wrong field": SendRaw(FRAME_HEADER.pack(13) + msgspec.msgpack.encode({"type": "report"})),
    "deep nesting": SendRaw(FRAME_HEADER.pack(100_009) + b"\x81\xa7unknown" + b"\x91" * 99_999 + b"\xc0"),
    "answer among reports": SendRaw(encode_frame(Accepted(1, 1))),
    "oversized length among answers": SendRaw(FRAME_HEADER.pack(0xFFFFFFFF), is_report=False),
    "report among answers": SendRaw(encode_frame(LoadProgress(0.5)), is_report=False),
    "closed reports": CloseReports(),
}


@pytest.mark.parametrize("instruction", UNTRUSTED.values(), ids=UNTRUSTED.keys())
async def test_an_engine_that_breaks_the_protocol_is_killed_and_replaced(
    start_client: StartClient, instruction: SendRaw | CloseReports
) -> None:
    limits = WatchLimits(first_backoff_seconds=0.01, drain_seconds=0.1)
    bench = await start_client([READY, instruction, Hang()], [READY, Serve()], limits=limits)
    await ended(bench)
    assert bench.listener.causes == [EndCause.CRASH]
    await ready_again(bench)
    await expect_whole_answer(bench)
    assert len(child_pids()) == 1


async def test_an_answer_of_the_wrong_kind_ends_the_engine(start_client: StartClient) -> None:
    bench = await start_client([READY, Await("submit"), Reply(Detokenized(1, "what?")), Hang()], [READY, Serve()])
    await bench.client.wait_settled()
    with pytest.raises(EngineLostError):
        await bench.client.submit(make_request())
    assert bench.listener.causes == [EndCause.CRASH]


async def test_a_refusal_of_what_was_accepted_changes_nothing(start_client: StartClient) -> None:
    refusal = Refused(1, RefusalKind.INVALID, "too late")
    bench = await start_client(
        [READY, Await("submit"), Reply(Accepted(1, 4)), Reply(refusal), Say(make_finished(1)), Serve()]
    )
    await bench.client.wait_settled()
    generation = await bench.client.submit(make_request())
    assert await drain(generation) == 1


async def test_answers_and_reports_for_unknown_ids_are_ignored(start_client: StartClient) -> None:
    bench = await start_client(
        [
            READY,
            Reply(Accepted(77, 1)),
            Say(make_report(SequenceReport(id=78), num_running=1)),
            Say(make_finished(78)),
            Serve(),
        ]
    )
    await bench.client.wait_settled()
    await expect_whole_answer(bench)
    assert [len(report.sequences) for report in bench.listener.reports] == [1, 1, 1]


# --- loads that fail ---------------------------------------------------------------------------------------------


async def test_a_reported_load_failure_is_final(start_client: StartClient) -> None:
    bench = await start_client([Say(LoadProgress(0.5)), Say(LoadFailed("not enough memory for 4096 cells")), Exit(1)])
    await bench.client.wait_settled()
    assert bench.client.state is EngineState.LOAD_FAILED
    assert bench.client.load_error == "not enough memory for 4096 cells"
    assert bench.listener.causes == [EndCause.LOAD_FAILED]
    assert bench.num_spawned == 1
    with pytest.raises(EngineUnavailableError, match="not enough memory for 4096 cells"):
        bench.client.check_capacity()
    assert child_pids() == set()


async def test_an_engine_that_reports_its_failure_and_stays_is_killed(start_client: StartClient) -> None:
    bench = await start_client([Say(LoadFailed("no")), Hang()], limits=WatchLimits(drain_seconds=0.05))
    await bench.client.wait_settled()
    assert bench.listener.causes == [EndCause.LOAD_FAILED]
    await bench.client.stop()
    assert child_pids() == set()


async def test_an_abort_on_the_first_load_is_final_and_quotes_stderr(start_client: StartClient) -> None:
    bench = await start_client([WriteStderr(b"GGML_ASSERT(n > 0) failed\n"), ABORTED])
    await bench.client.wait_settled()
    assert bench.client.state is EngineState.LOAD_FAILED
    assert bench.client.load_error == (
        "the engine ended while it loaded the model (load_failed: killed by SIGABRT); GGML_ASSERT(n > 0) failed"
    )
    assert bench.listener.causes == [EndCause.LOAD_FAILED]
    assert bench.num_spawned == 1


async def test_a_first_load_that_is_killed_is_tried_three_times(start_client: StartClient, tmp_path: Path) -> None:
    bench = await start_client([KILLED], filesystem_root=tmp_path)
    await bench.client.wait_settled()
    assert bench.client.state is EngineState.LOAD_FAILED
    assert bench.listener.causes == [EndCause.LOAD_FAILED] * 3
    assert bench.num_spawned == 3


async def test_a_model_that_loaded_before_is_loaded_again_after_an_abort(start_client: StartClient) -> None:
    bench = await start_client([READY, ABORTED], [ABORTED], [READY, Serve()])
    await ready_again(bench)
    assert bench.listener.causes == [EndCause.CRASH, EndCause.LOAD_FAILED]
    assert bench.client.state is EngineState.READY
    assert bench.client.load_error is None


async def test_a_model_that_loaded_before_is_given_up_after_three_failures(start_client: StartClient) -> None:
    bench = await start_client([READY, ABORTED], [Exit(1)])
    await bench.listener.wait_until(lambda: len(bench.listener.causes) == 4)
    assert bench.client.state is EngineState.LOAD_FAILED
    assert bench.listener.causes == [EndCause.CRASH] + [EndCause.LOAD_FAILED] * 3


async def test_a_file_that_must_not_be_loaded_is_never_given_to_an_engine(start_client: StartClient) -> None:
    def refuse() -> None:
        raise ModelFileError("model.gguf is truncated: fetch it again")

    bench = await start_client([READY, Serve()], check_file=refuse)
    await bench.client.wait_settled()
    assert bench.client.state is EngineState.LOAD_FAILED
    assert bench.client.load_error == "model.gguf is truncated: fetch it again"
    assert bench.listener.causes == [EndCause.LOAD_FAILED]
    assert bench.num_spawned == 0


async def test_a_check_that_fails_by_itself_is_logged_and_ends_the_load(
    start_client: StartClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    bench = await start_client([READY, Serve()], check_file=fail)
    await bench.client.wait_settled()
    assert bench.client.state is EngineState.LOAD_FAILED
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]


async def test_an_engine_that_cannot_be_spawned_is_tried_three_times(start_client: StartClient) -> None:
    bench = await start_client([], command=("/nonexistent/engine",))
    await bench.client.wait_settled()
    assert bench.client.state is EngineState.LOAD_FAILED
    assert "could not be started" in (bench.client.load_error or "")
    assert len(bench.listener.causes) == 3


async def test_load_progress_is_shown(start_client: StartClient) -> None:
    bench = await start_client([Say(LoadProgress(0.25)), Say(make_report()), Await("stop")])
    await bench.listener.wait_until(lambda: len(bench.listener.reports) == 1)
    assert bench.client.load_progress == 0.25
    with pytest.raises(EngineUnavailableError, match=r"being loaded \(25%\)"):
        bench.client.check_capacity()


# --- the log and the environment ---------------------------------------------------------------------------------


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[int], list[str]]:
    caplog.set_level(logging.DEBUG, logger="edge_agent")
    return lambda level: [record.getMessage() for record in caplog.records if record.levelno == level]


async def test_stderr_is_logged_while_it_lives_and_with_the_cause_when_it_ends(
    start_client: StartClient, lines: Callable[[int], list[str]]
) -> None:
    numbered = b"".join(b"line %d\n" % number for number in range(1, 23))
    bench = await start_client([READY, WriteStderr(numbered), ABORTED], [READY, Serve()])
    await ready_again(bench)
    assert "engine stderr line=line 1" in lines(logging.DEBUG)
    errors = lines(logging.ERROR)
    assert errors[0].startswith("engine ended cause=crash detail=killed by SIGABRT ready_seconds=0.")
    assert errors[1:] == [f"engine stderr before its end line=line {number}" for number in range(3, 23)]
    assert [line.split(" ")[1] for line in lines(logging.INFO)] == ["spawned", "is", "restarts", "spawned", "is"]


async def test_the_environment_is_handed_on_without_ggmls_debugger(
    start_client: StartClient, tmp_path: Path, lines: Callable[[int], list[str]]
) -> None:
    show = "import os, sys; print(os.environ['A'], os.environ['GGML_NO_BACKTRACE'], os.getsid(0), file=sys.stderr)"
    bench = await start_client([], command=(sys.executable, "-c", show), environ={"A": "alpha"})
    await bench.client.wait_settled()
    assert bench.client.load_error is not None
    assert bench.client.load_error.endswith(f"; alpha 1 {os.getsid(0)}")
