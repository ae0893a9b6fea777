from __future__ import annotations

from edge_agent.engine_client.listener import EngineListener
from tests.telemetry.scripted_engine import scrape, telemetry_of


def test_it_can_listen_to_the_engine_client_and_shows_the_last_queue() -> None:
    telemetry = telemetry_of()
    listener: EngineListener = telemetry.engine
    listener.queue_changed(num_running=4, num_waiting=7)
    listener.queue_changed(num_running=3, num_waiting=0)
    shown = scrape(telemetry)
    assert shown['requests_running{model="tiny"}'] == 3
    assert shown['requests_waiting{model="tiny"}'] == 0
