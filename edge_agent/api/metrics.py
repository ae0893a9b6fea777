"""GET /metrics: the registry as the scraper's Accept header asks for it. Never waits for the engine."""

from __future__ import annotations

from aiohttp import web

from edge_agent.telemetry.exposition import Exposition


class MetricsEndpoint:
    """The handler."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    async def handle(self, request: web.Request) -> web.Response:
        accept = ",".join(request.headers.getall("Accept", []))
        body, content_type = self._exposition.render(accept)
        return web.Response(body=body, headers={"Content-Type": content_type})
