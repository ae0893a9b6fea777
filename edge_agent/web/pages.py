"""Serves the chat page and what belongs to it: a fixed table of files, read from the package once, before listening.

A request chooses among these and never reaches a file system. What the page says to the API, it says like any client.
"""

from __future__ import annotations

import hashlib
import importlib.resources

from aiohttp import ETag, hdrs, web
from aiohttp.typedefs import Handler

INDEX = "index.html"
_HTML = "text/html; charset=utf-8"
_CSS = "text/css; charset=utf-8"
_JAVASCRIPT = "text/javascript; charset=utf-8"
_SVG = "image/svg+xml"

CONTENT_TYPES = {
    INDEX: _HTML,
    "answer.js": _JAVASCRIPT,
    "chat.css": _CSS,
    "chat.js": _JAVASCRIPT,
    "composer.js": _JAVASCRIPT,
    "conversation.js": _JAVASCRIPT,
    "device_facts.js": _JAVASCRIPT,
    "fences.js": _JAVASCRIPT,
    "favicon.svg": _SVG,
    "figures.js": _JAVASCRIPT,
    "header.js": _JAVASCRIPT,
    "i18n.js": _JAVASCRIPT,
    "message_view.js": _JAVASCRIPT,
    "settings.js": _JAVASCRIPT,
    "sse.js": _JAVASCRIPT,
    "status_poll.js": _JAVASCRIPT,
    "stored.js": _JAVASCRIPT,
    "strings.js": _JAVASCRIPT,
}

# Nothing but this origin's own files may run, be shown or be asked, so that an answer of the model that found a way
# into the page as markup still could do nothing. Cross-Origin-Opener-Policy is left out: over plain HTTP, which is how
# a board is reached, browsers ignore it and complain.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Kept, but asked for each time: after an upgrade no page is left with old scripts.
    "Cache-Control": "no-cache",
}


class StaticFile:
    """One file and the headers that it is sent with."""

    def __init__(self, body: bytes, *, content_type: str) -> None:
        self._body = body
        self._etag = ETag(hashlib.sha256(body).hexdigest()[:32])
        self._headers = {**_HEADERS, hdrs.ETAG: f'"{self._etag.value}"'}
        self._content_type = content_type

    def response(self, request: web.Request) -> web.Response:
        """The file, or 304 for a browser that has it."""
        known = request.if_none_match or ()
        if any(etag.value in {self._etag.value, "*"} for etag in known):
            return web.Response(status=web.HTTPNotModified.status_code, headers=self._headers)
        return web.Response(body=self._body, headers={**self._headers, hdrs.CONTENT_TYPE: self._content_type})


def add_pages(application: web.Application) -> None:
    """`/` and `/static/{name}`, each with HEAD. The files are read here; a missing one raises FileNotFoundError."""
    folder = importlib.resources.files(__package__) / "static"
    files = {
        name: StaticFile((folder / name).read_bytes(), content_type=content_type)
        for name, content_type in CONTENT_TYPES.items()
    }
    application.router.add_get("/", _index(files[INDEX]))
    application.router.add_get("/static/{name}", _static(files))


def _index(page: StaticFile) -> Handler:
    async def index(request: web.Request) -> web.StreamResponse:
        return page.response(request)

    return index


def _static(files: dict[str, StaticFile]) -> Handler:
    async def static(request: web.Request) -> web.StreamResponse:
        file = files.get(request.match_info["name"])
        if file is None:
            raise web.HTTPNotFound
        return file.response(request)

    return static
