"""What is reachable from where, and by whom."""

import re
import subprocess
import sys
from pathlib import Path

from .product import running_product


def test_beyond_loopback_the_product_refuses_to_start_and_says_why(smollm2_path: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "edge_agent", "serve", "--model", str(smollm2_path), "--host", "0.0.0.0"],  # noqa: S104
        env={"PATH": "/usr/bin:/bin", "EDGE_AGENT_STATE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 2
    assert "server.allow_unauthenticated" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def test_metrics_may_have_an_address_of_their_own(smollm2_path: Path) -> None:
    with running_product(model=smollm2_path, environ={"EDGE_AGENT_TELEMETRY__PORT": "0"}) as product:
        product.wait_until_ready()
        urls = [match.group(1) for line in product.log if (match := re.search(r"listening url=(\S+)", line))]
        on_api = product.request("/metrics").status
        (telemetry_url,) = [url for url in urls if url != product.url]
        product.url = telemetry_url
        on_telemetry, chat_on_telemetry = product.request("/metrics").status, product.chat().status
    assert (on_api, on_telemetry, chat_on_telemetry) == (404, 200, 404)


def test_prompts_never_reach_the_log(smollm2_path: Path) -> None:
    with running_product(model=smollm2_path, environ={"EDGE_AGENT_LOG__LEVEL": "debug"}) as product:
        product.wait_until_ready()
        product.chat("xylophone-secret", max_tokens=4)
        product.request("/v1/chat/completions", raw=b'{"messages": "xylophone-secret"')
        product.wait_for_log("request finished")
        product.stop()
    assert not any("xylophone" in line for line in product.log)
