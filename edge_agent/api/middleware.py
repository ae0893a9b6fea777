"""What surrounds every handler: the fence that turns errors into answers, and the count of requests by route."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from edge_agent.api.error_responses import CLIENT_CLOSED_REQUEST, error_answer, is_expected
from edge_agent.telemetry.service_metrics import ServiceMetrics

UNMATCHED_ROUTE = "unmatched"

logger = logging.getLogger(__name__)


def request_counter(metrics: ServiceMetrics) -> Middleware:
    """Counts requests by route template, method and status; those whose client left as 499."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        metrics.http_started()
        code = CLIENT_CLOSED_REQUEST
        try:
            response = await handler(request)
            code = response.status
            return response
        finally:
            metrics.http_ended(route=_route(request), method=request.method, code=code)

    return count


@web.middleware
async def error_fence(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error in OpenAI's shape. Unexpected ones are logged with their traceback and tell nothing."""
    try:
        return await handler(request)
    except asyncio.CancelledError:
        raise
    except ConnectionError:
        # The client is gone: nobody reads this, but the count does.
        return web.Response(status=CLIENT_CLOSED_REQUEST, reason="Client Closed Request")
    except Exception as error:
        if not is_expected(error):
            logger.exception("request failed route=%s method=%s", _route(request), request.method)
        response = error_answer(error).response()
        if isinstance(error, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = ",".join(sorted(error.allowed_methods))
        return response


def _route(request: web.Request) -> str:
    """The template, such as /v1/models/{id}: a client must not be able to make series."""
    resource = request.match_info.route.resource
    return UNMATCHED_ROUTE if resource is None else resource.canonical
