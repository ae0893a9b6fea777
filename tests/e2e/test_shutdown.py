"""SIGTERM lets running answers finish; a second one does not."""

import json
import signal
import urllib.request
from pathlib import Path

from .product import Product, running_product


def open_stream(product: Product, *, max_tokens: int) -> "urllib.request._UrlopenRet":
    body = {
        "messages": [{"role": "user", "content": "Tell me a long story."}],
        "stream": True,
        "ignore_eos": True,
        "max_tokens": max_tokens,
    }
    request = urllib.request.Request(product.url + "/v1/chat/completions", json.dumps(body).encode())
    return urllib.request.urlopen(request, timeout=120)


def test_a_running_answer_finishes_after_sigterm(smollm2_path: Path) -> None:
    with running_product(model=smollm2_path) as product:
        product.wait_until_ready()
        with open_stream(product, max_tokens=150) as stream:
            next(line for line in stream if b'"content"' in line)
            engine_pid = product.engine_pid
            product.process.send_signal(signal.SIGTERM)
            rest = stream.read().decode()
        status = product.wait()
    assert rest.rstrip().endswith("data: [DONE]")
    assert '"predicted_n":150' in rest
    assert status == 0
    assert not Path(f"/proc/{engine_pid}").exists()


def test_a_second_sigterm_ends_at_once(smollm2_path: Path) -> None:
    with running_product(model=smollm2_path) as product:
        product.wait_until_ready()
        with open_stream(product, max_tokens=3000) as stream:
            next(line for line in stream if b'"content"' in line)
            engine_pid = product.engine_pid
            product.process.send_signal(signal.SIGTERM)
            product.wait_for_log("drain")
            product.process.send_signal(signal.SIGTERM)
            product.wait()
    assert not Path(f"/proc/{engine_pid}").exists()


def test_an_idle_product_stops_cleanly(smollm2_path: Path) -> None:
    with running_product(model=smollm2_path) as product:
        product.wait_until_ready()
        assert product.stop() == 0
