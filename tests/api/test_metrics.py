"""The scrape, in the format that its Accept header asks for."""

from __future__ import annotations

from tests.api.fake_engine import FakeEngine
from tests.api.service import serving


async def test_metrics_are_prometheus_text_unless_openmetrics_is_asked_for() -> None:
    async with serving(FakeEngine()) as service:
        async with service.http.get("/metrics") as response:
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert "# TYPE edge_agent_requests_total counter" in await response.text()
        headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with service.http.get("/metrics", headers=headers) as response:
            assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
            assert (await response.text()).endswith("# EOF\n")
