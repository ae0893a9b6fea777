import pytest

from edge_agent.engine_client.engine_end import EngineEnd
from edge_agent.engine_client.listener import EndCause


@pytest.mark.parametrize(
    ("end", "cause", "detail"),
    [
        (EngineEnd(returncode=-11, ready_seconds=9.0), EndCause.CRASH, "killed by SIGSEGV"),
        (EngineEnd(returncode=0, ready_seconds=9.0), EndCause.CRASH, "exit status 0"),
        (EngineEnd(returncode=-9, ready_seconds=9.0), EndCause.CRASH, "killed by SIGKILL"),
        (EngineEnd(returncode=-9, ready_seconds=9.0, has_oom_risen=True), EndCause.OOM, "killed by SIGKILL"),
        (EngineEnd(returncode=-6, ready_seconds=9.0, has_oom_risen=True), EndCause.CRASH, "killed by SIGABRT"),
        (EngineEnd(returncode=-9, has_oom_risen=True), EndCause.OOM, "killed by SIGKILL"),
        (EngineEnd(returncode=-9, ready_seconds=9.0, stall="silent", has_oom_risen=True), EndCause.STALL, "silent"),
        (EngineEnd(returncode=-9, stall="silent"), EndCause.STALL, "silent"),
        (EngineEnd(returncode=-9, ready_seconds=9.0, fault="garbage", has_oom_risen=True), EndCause.CRASH, "garbage"),
        (EngineEnd(returncode=1, load_error="no such file"), EndCause.LOAD_FAILED, "no such file"),
        (EngineEnd(returncode=-6), EndCause.LOAD_FAILED, "killed by SIGABRT"),
        (EngineEnd(spawn_error="no memory"), EndCause.LOAD_FAILED, "no memory"),
        (EngineEnd(returncode=-250, ready_seconds=9.0), EndCause.CRASH, "killed by signal 250"),
        (EngineEnd(ready_seconds=9.0), EndCause.CRASH, "it does not end"),
    ],
)
def test_cause_and_detail_follow_from_what_was_seen(end: EngineEnd, cause: EndCause, detail: str) -> None:
    assert (end.cause, end.detail) == (cause, detail)


@pytest.mark.parametrize(
    ("end", "may_pass"),
    [
        (EngineEnd(returncode=-9), True),
        (EngineEnd(returncode=-9, stall="silent"), True),
        (EngineEnd(spawn_error="no memory"), True),
        (EngineEnd(returncode=-9, fault="garbage"), False),
        (EngineEnd(returncode=-6), False),
        (EngineEnd(returncode=-11), False),
        (EngineEnd(returncode=1), False),
    ],
)
def test_only_what_the_machine_may_have_caused_may_pass(end: EngineEnd, may_pass: bool) -> None:
    assert end.may_pass is may_pass


def test_a_load_failure_quotes_the_last_five_lines_cut_to_200_characters() -> None:
    end = EngineEnd(returncode=-6, stderr=("1", "2", "3", "4", "5", "6" * 500))
    assert end.load_failure == (
        "the engine ended while it loaded the model (load_failed: killed by SIGABRT); 2; 3; 4; 5; " + "6" * 200
    )
