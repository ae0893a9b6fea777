"""The product's own timings agree with what a client measured from outside."""

import json
import time
import urllib.request

from .product import Product


def histogram(metrics: dict[str, float], name: str) -> tuple[float, float]:
    return metrics[f"edge_agent_{name}_count"], metrics[f"edge_agent_{name}_sum"]


def test_sums_agree_with_the_clients_clock(product: Product) -> None:
    before = product.metrics()
    body = {
        "messages": [{"role": "user", "content": "Tell me about copper."}],
        "stream": True,
        "max_tokens": 60,
        "ignore_eos": True,
    }
    request = urllib.request.Request(product.url + "/v1/chat/completions", json.dumps(body).encode())
    sent = time.monotonic()
    with urllib.request.urlopen(request, timeout=120) as stream:
        stamps = [time.monotonic() for line in stream if b'"content":"' in line and b'"content":""' not in line]
    after = product.metrics()

    def grown(name: str) -> tuple[float, float]:
        (count_before, sum_before), (count_after, sum_after) = histogram(before, name), histogram(after, name)
        return count_after - count_before, sum_after - sum_before

    ttft_count, ttft = grown("time_to_first_token_seconds")
    gap_count, gaps = grown("inter_token_latency_seconds")
    duration_count, duration = grown("request_duration_seconds")
    _, decode = grown("request_decode_seconds")

    assert (ttft_count, gap_count, duration_count) == (1, 59, 1)
    # What happened inside the server cannot have taken longer than what the client saw around it.
    assert 0 < ttft <= stamps[0] - sent
    assert 0 < duration <= stamps[-1] - sent
    assert abs(duration - (ttft + gaps)) < 1e-6
    assert abs(decode - gaps) < 1e-6
    # And it explains most of it: the rest is the way over HTTP.
    assert gaps >= 0.5 * (stamps[-1] - stamps[0])
    assert grown("request_generated_tokens") == (1, 60)


def test_token_counters_agree_with_usage(product: Product) -> None:
    before = product.metrics()
    usage = product.chat("Count the stones by the river.", max_tokens=11, ignore_eos=True).json()["usage"]
    after = product.metrics()

    def grown(series: str) -> float:
        return after[series] - before[series]

    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert grown('edge_agent_generated_tokens_total{thermal_state="nominal"}') == usage["completion_tokens"] == 11
    assert grown('edge_agent_prompt_tokens_total{source="computed"}') == usage["prompt_tokens"] - cached
    assert grown('edge_agent_prompt_tokens_total{source="memory"}') == cached
    assert grown('edge_agent_requests_finished_total{finish_reason="length"}') == 1
