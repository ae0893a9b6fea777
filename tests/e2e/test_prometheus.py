"""A real Prometheus scrapes the product, and its quantiles make sense."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .product import Product, running_product

pytestmark = pytest.mark.needs_prometheus

CONFIGURATION = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: edge-agent
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Prometheus:
    """Asks a running server over its HTTP API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self._url}/api/v1/query?{query}", timeout=10) as response:
            result: list[dict[str, Any]] = json.load(response)["data"]["result"]
        return result

    def value(self, expression: str, *, seconds: float = 60) -> float:
        """The expression's single value, once it has one that is a number."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                result = self.query(expression)
            except OSError:
                result = []
            if result and result[0]["value"][1] != "NaN":
                return float(result[0]["value"][1])
            time.sleep(0.2)
        raise AssertionError(f"{expression} has no value")


@pytest.fixture
def product(smollm2_path: Path) -> Iterator[Product]:
    """A product that nobody else has asked anything."""
    with running_product(model=smollm2_path) as product:
        product.wait_until_ready()
        yield product


@pytest.fixture
def prometheus(product: Product, tmp_path: Path) -> Iterator[Prometheus]:
    program = shutil.which("prometheus")
    assert program, "the prometheus package is missing: run `make test`"
    configuration, port = tmp_path / "prometheus.yml", free_port()
    configuration.write_text(CONFIGURATION.format(port=product.port), encoding="utf-8")
    arguments = [f"--config.file={configuration}", f"--storage.tsdb.path={tmp_path}/data"]
    with subprocess.Popen(
        [program, *arguments, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL
    ) as server:
        yield Prometheus(f"http://127.0.0.1:{port}")
        server.terminate()


def test_prometheus_computes_sane_quantiles(product: Product, prometheus: Prometheus) -> None:
    assert prometheus.value("up") == 1
    before = prometheus.value("sum(edge_agent_generated_tokens_total)")
    asked = time.monotonic()
    for _ in range(3):
        assert product.chat("Tell me about rivers.", max_tokens=20, ignore_eos=True).status == 200
    seconds = time.monotonic() - asked
    assert prometheus.value(f"sum(edge_agent_generated_tokens_total) > {before + 59}") == before + 60

    ttft = prometheus.value(
        "histogram_quantile(0.95, sum by (le) (rate(edge_agent_time_to_first_token_seconds_bucket[30s])))"
    )
    gap = prometheus.value(
        "histogram_quantile(0.5, sum by (le) (rate(edge_agent_inter_token_latency_seconds_bucket[30s])))"
    )
    # A bucket's upper edge may be up to three times what was measured.
    assert 0 < ttft < 3 * seconds
    assert 0 < gap < 3 * seconds / 20


def test_promtool_finds_nothing_to_complain_about(product: Product) -> None:
    text = product.request("/metrics").body
    check = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (check.returncode, check.stdout + check.stderr) == (0, b"")


def test_openmetrics_is_served_to_who_asks_for_it(product: Product) -> None:
    reply = product.request("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
    assert reply.body.endswith(b"# EOF\n")
