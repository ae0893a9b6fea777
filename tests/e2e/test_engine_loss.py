"""The engine is killed under a running answer: everybody is told, and the product mends itself."""

import json
import os
import signal
import urllib.request
from pathlib import Path

from .product import running_product


def test_a_killed_engine_costs_the_open_answers_only(smollm2_path: Path) -> None:
    with running_product(model=smollm2_path) as product:
        product.wait_until_ready()
        body = {"messages": [{"role": "user", "content": "Tell me a long story."}], "stream": True, "ignore_eos": True}
        request = urllib.request.Request(product.url + "/v1/chat/completions", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=120) as stream:
            lines = iter(stream.readline, b"")
            next(line for line in lines if b'"content"' in line)
            lines_before = len(product.log)
            os.kill(product.engine_pid, signal.SIGKILL)
            rest = b"".join(lines).decode()
        health, not_ready = product.request("/health"), product.request("/ready")
        product.wait_for_log("engine is ready", after=lines_before)
        ready_again, answer, metrics = product.request("/ready"), product.chat(max_tokens=4), product.metrics()

    last_event = json.loads(rest.strip().rsplit("data: ", 1)[1])
    assert "error" in last_event
    assert "[DONE]" not in rest
    assert (health.status, not_ready.status, ready_again.status) == (200, 503, 200)
    assert int(not_ready.headers["Retry-After"]) >= 1
    assert answer.status == 200
    assert metrics['edge_agent_engine_restarts_total{cause="crash"}'] == 1
    assert metrics['edge_agent_requests_total{endpoint="chat",outcome="server_error"}'] == 1
    assert metrics['edge_agent_requests_total{endpoint="chat",outcome="ok"}'] == 1
    assert metrics["edge_agent_engine_up"] == 1


def test_a_file_that_is_no_model_leaves_the_agent_up_and_says_why(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(64))
    with running_product(model=bad) as product:
        product.wait_for_log("bad.gguf.*")
        product.wait_for_log(r"(?i)load")
        ready, answer, metrics = product.request("/ready"), product.chat(), product.metrics()
        health = product.request("/health")
    assert (health.status, ready.status, answer.status) == (200, 503, 503)
    assert "bad.gguf" in answer.json()["error"]["message"]
    assert metrics['edge_agent_engine_restarts_total{cause="load_failed"}'] == 1
    assert metrics["edge_agent_engine_up"] == 0
