"""What surrounds every handler: counts by route, errors in one shape."""

from __future__ import annotations

from tests.api.fake_engine import FakeEngine
from tests.api.service import serving


async def test_requests_are_counted_by_template_and_never_by_path() -> None:
    async with serving(FakeEngine()) as service:
        await service.get("/v1/models/a-path-of-its-own")
        await service.get("/no/such/path")
        _, text = await service.get("/metrics")
    assert 'edge_agent_http_requests_total{code="404",method="GET",route="/v1/models/{id}"} 1.0' in text
    assert 'edge_agent_http_requests_total{code="404",method="GET",route="unmatched"} 1.0' in text
    assert "a-path-of-its-own" not in text
    # The scrape itself.
    assert "edge_agent_http_requests_in_flight 1.0" in text


async def test_unknown_path_is_a_404_in_the_apis_shape() -> None:
    async with serving(FakeEngine()) as service:
        assert await service.get("/v2/chat") == (
            404,
            '{"error":{"message":"There is no such path here. The API is under /v1, for example POST '
            '/v1/chat/completions.","type":"invalid_request_error","param":null,"code":"not_found"}}',
        )


async def test_wrong_method_is_a_405_that_names_the_right_one() -> None:
    async with serving(FakeEngine()) as service, service.http.get("/v1/chat/completions") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert (await response.json())["error"]["code"] == "method_not_allowed"


async def test_method_of_a_clients_own_makes_no_series() -> None:
    async with serving(FakeEngine()) as service:
        async with service.http.request("PROPFIND", "/health") as response:
            assert response.status == 405
        assert service.counted("edge_agent_http_requests_total", method="PROPFIND") == 0
        assert service.counted("edge_agent_http_requests_total", route="unmatched", code="405") == 1
