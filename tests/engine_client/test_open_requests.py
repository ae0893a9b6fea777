import pytest

from edge_agent.engine_client.generation import Generation
from edge_agent.engine_client.open_requests import OpenRequests
from edge_agent.errors import EngineLostError
from edge_agent.protocol import SequenceReport
from tests.engine_client.recording_listener import RecordingListener
from tests.engine_client.scripted_engine import make_finished, make_report


@pytest.fixture
def listener() -> RecordingListener:
    return RecordingListener()


@pytest.fixture
def requests(listener: RecordingListener) -> OpenRequests:
    """Three open requests, 1 to 3."""
    requests = OpenRequests(listener)
    for number in (1, 2, 3):
        requests.add(Generation(number, on_cancel=lambda _: None))
    return requests


def test_a_sequence_sent_back_to_wait_does_not_run(requests: OpenRequests) -> None:
    requests.report(make_report(SequenceReport(id=1), SequenceReport(id=2)))
    assert (requests.num_running, requests.num_waiting) == (2, 1)
    requests.report(make_report(SequenceReport(id=1), num_running=1, num_waiting=2))
    assert (requests.num_running, requests.num_waiting) == (1, 2)


def test_a_finished_request_no_longer_runs_before_the_next_report(requests: OpenRequests) -> None:
    requests.report(make_report(SequenceReport(id=1), SequenceReport(id=2)))
    requests.finish(make_finished(1))
    assert (requests.num_running, requests.num_waiting) == (1, 1)


def test_a_cancelled_request_counts_until_the_engine_finished_it() -> None:
    listener = RecordingListener()
    requests = OpenRequests(listener)
    generation = Generation(1, on_cancel=lambda _: None)
    requests.add(generation)
    generation.cancel()
    requests.report(make_report(SequenceReport(id=1)))
    assert len(requests) == 1
    requests.finish(make_finished(1))
    assert len(requests) == 0
    assert listener.counts == [(0, 1), (1, 0), (0, 0)]


def test_counts_are_told_after_what_changed_them_and_only_when_they_change(
    requests: OpenRequests, listener: RecordingListener
) -> None:
    requests.report(make_report(SequenceReport(id=1)))
    requests.report(make_report(SequenceReport(id=1)))
    requests.finish(make_finished(1))
    requests.refuse(2)
    requests.refuse(99)
    assert listener.counts == [(0, 1), (0, 2), (0, 3), (1, 2), (0, 2), (0, 1)]
    assert listener.calls[3:] == ["report", "queue_changed", "report", "finished", "queue_changed", "queue_changed"]


async def test_what_was_reported_before_the_end_is_yielded_before_the_error() -> None:
    requests = OpenRequests(RecordingListener())
    generation = Generation(1, on_cancel=lambda _: None)
    requests.add(generation)
    requests.report(make_report(SequenceReport(id=1, text="half")))
    requests.lose_all("the engine ended")
    assert await anext(generation) == SequenceReport(id=1, text="half")
    for _ in range(2):
        with pytest.raises(EngineLostError, match="the engine ended"):
            await anext(generation)
