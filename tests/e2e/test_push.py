"""Real receivers take what the product pushes, and see the same series as a scrape of it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .product import Product, running_product
from .test_prometheus import Prometheus, free_port

pytestmark = pytest.mark.needs_prometheus

TARGET = {"job": "edge-agent", "instance": "greenhouse-7", "site": "lab"}
PRODUCT = """\
device: {{instance: greenhouse-7}}
telemetry:
  external_labels: {{site: lab}}
  remote_write: {{interval_seconds: {interval_seconds}, endpoints: [{{url: "{url}/api/v1/write"}}]}}
"""
# The window: a scrape may come between the moment of a round and its arrival.
RECEIVER = """\
global: {scrape_interval: 1s, scrape_timeout: 1s}
storage: {tsdb: {out_of_order_time_window: 30m}}
"""
SCRAPE = """\
scrape_configs:
  - job_name: edge-agent
    static_configs: [{{targets: ["127.0.0.1:{port}"], labels: {{instance: greenhouse-7, site: lab}}}}]
"""

Labels = frozenset[tuple[str, str]]


class Receiver(Prometheus):
    """A running server that takes pushes, and the means to give it another configuration."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        super().__init__(url)
        self.url = url
        self.process = process

    def series(self) -> set[Labels]:
        """The labels of every series that it has ever had."""
        match = urllib.parse.urlencode({"match[]": '{__name__=~".+"}'})
        with urllib.request.urlopen(f"{self.url}/api/v1/series?{match}", timeout=10) as response:
            return {frozenset(series.items()) for series in json.load(response)["data"]}


def until(is_true: Callable[[], Any], what: str, *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if is_true():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s")


@contextmanager
def receiver_running(program: str, *arguments: str) -> Iterator[Receiver]:
    """The server, once it answers; `{address}` in its arguments is where it is to listen."""
    path = shutil.which(program)
    assert path, f"{program} is missing: run `make test`"
    address = f"127.0.0.1:{free_port()}"
    command = [path, *(argument.format(address=address) for argument in arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        receiver = Receiver(f"http://{address}", process)
        try:
            until(lambda: receiver.query("vector(1)"), f"{program} answers")
            yield receiver
        finally:
            process.terminate()


@contextmanager
def pushing_product(
    receiver: Receiver, *, model: Path, folder: Path, interval_seconds: float = 1.0
) -> Iterator[Product]:
    """A product that pushes to it, ready to answer."""
    configuration = folder / "edge-agent.yaml"
    configuration.write_text(PRODUCT.format(url=receiver.url, interval_seconds=interval_seconds), encoding="utf-8")
    with running_product("--config", str(configuration), model=model) as product:
        product.wait_until_ready()
        yield product


@pytest.fixture
def prometheus_configuration(tmp_path: Path) -> Path:
    path = tmp_path / "prometheus.yml"
    path.write_text(RECEIVER, encoding="utf-8")
    return path


@pytest.fixture
def prometheus(prometheus_configuration: Path, tmp_path: Path) -> Iterator[Receiver]:
    with receiver_running(
        "prometheus",
        f"--config.file={prometheus_configuration}",
        f"--storage.tsdb.path={tmp_path}/data",
        "--web.listen-address={address}",
        "--web.enable-remote-write-receiver",
    ) as receiver:
        yield receiver


@pytest.fixture
def victoria_metrics(tmp_path: Path) -> Iterator[Receiver]:
    with receiver_running(
        "victoria-metrics",
        f"-storageDataPath={tmp_path}/data",
        "-httpListenAddr={address}",
        "-retentionPeriod=1",
        "-search.latencyOffset=0s",
        "-memory.allowedBytes=128MB",
    ) as receiver:
        yield receiver


def scraped_series(product: Product) -> set[Labels]:
    """What a scrape with the target's labels makes of the product's exposition now."""
    text = product.request("/metrics").body.decode()
    return {
        frozenset({(name, value) for name, value in sample.labels.items() if value} | {*TARGET.items()})
        | {("__name__", sample.name)}
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def is_made_by_the_scrape(labels: Labels) -> bool:
    name = dict(labels)["__name__"]
    return name == "up" or name.startswith("scrape_")


def test_a_pushed_and_a_scraped_series_are_one_and_the_same(
    prometheus: Receiver, prometheus_configuration: Path, smollm2_path: Path, tmp_path: Path
) -> None:
    with pushing_product(prometheus, model=smollm2_path, folder=tmp_path) as product:
        assert product.chat(max_tokens=4).status == 200
        until(lambda: prometheus.series() == scraped_series(product), "every series is pushed, and no other")
        pushed = prometheus.series()
        assert len(pushed) > 250

        with prometheus_configuration.open("a", encoding="utf-8") as configuration:
            configuration.write(SCRAPE.format(port=product.port))
        prometheus.process.send_signal(signal.SIGHUP)
        until(lambda: prometheus.query("count_over_time(up[1m]) >= 2"), "Prometheus scrapes")
        both = prometheus.series()
    assert {labels for labels in both if not is_made_by_the_scrape(labels)} == pushed
    assert prometheus.value(f"max_over_time(scrape_samples_scraped[5m]) == {len(pushed)}") == len(pushed)


def test_an_agent_that_ends_sends_its_last_samples_and_ends_its_series(
    prometheus: Receiver, smollm2_path: Path, tmp_path: Path
) -> None:
    # An hour: between the first round, at the start, and the last one there is none.
    with pushing_product(prometheus, model=smollm2_path, folder=tmp_path, interval_seconds=3600) as product:
        assert prometheus.value('sum(edge_agent_generated_tokens_total{instance="greenhouse-7"})') == 0
        assert product.chat(max_tokens=4, ignore_eos=True).status == 200
        assert product.stop() == 0
    assert prometheus.value("sum(last_over_time(edge_agent_generated_tokens_total[5m]))") == 4
    # Without an end they would be shown for five minutes more.
    assert prometheus.query('{job="edge-agent"}') == []


def test_victoria_metrics_takes_what_is_pushed(victoria_metrics: Receiver, smollm2_path: Path, tmp_path: Path) -> None:
    with pushing_product(victoria_metrics, model=smollm2_path, folder=tmp_path) as product:
        assert product.chat(max_tokens=4, ignore_eos=True).status == 200
        selector = 'edge_agent_generated_tokens_total{job="edge-agent",instance="greenhouse-7",site="lab"}'
        assert victoria_metrics.value(f"sum({selector}) > 0") == 4
        until(lambda: product.metrics()["edge_agent_remote_write_spool_samples"] == 0, "nothing waits")
        assert product.metrics()['edge_agent_remote_write_samples_total{result="dropped_rejected"}'] == 0
