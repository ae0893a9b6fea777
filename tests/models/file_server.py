"""A real HTTP server on loopback that serves files well, badly or not at all, and remembers what it was asked."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from msgspec import Struct


class Serving(Struct, frozen=True, kw_only=True):
    """How one request is answered."""

    data: bytes = b""
    status: int = 200
    etag: str | None = None
    has_ranges: bool = True
    is_size_told: bool = True
    # After this many bytes the connection is closed, or nothing more comes.
    cut_after: int | None = None
    stall_after: int | None = None
    headers: dict[str, str] = {}


class Asked(Struct, frozen=True):
    """One request, header names in lower case."""

    path: str
    headers: dict[str, str]


class FileServer:
    """Answers each path with its list of servings, the last one again and again. Use as a context manager."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._servings: dict[str, list[Serving]] = {}
        self._is_closing = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return self._server.server_port

    def url(self, path: str, *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def serve(self, path: str, *servings: Serving) -> str:
        """Answer `path` so from now on; returns its address."""
        self._servings[path] = list(servings)
        return self.url(path)

    def next_serving(self, path: str, headers: dict[str, str]) -> Serving:
        with self._lock:
            self.asked.append(Asked(path, headers))
            servings = self._servings.get(path, [Serving(status=404)])
            return servings.pop(0) if len(servings) > 1 else servings[0]

    def wait_until_closing(self) -> None:
        self._is_closing.wait(timeout=60)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                serving = server.next_serving(self.path, headers)
                self.close_connection = True
                status, body, own_headers = answer(serving, headers)
                self.send_response(status)
                for name, value in {**own_headers, **serving.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                limits = [limit for limit in (serving.cut_after, serving.stall_after) if limit is not None]
                self.wfile.write(body[: min(limits, default=len(body))])
                if serving.stall_after is not None:
                    self.wfile.flush()
                    server.wait_until_closing()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """The test reads `asked`."""

        return Handler


def answer(serving: Serving, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of a well-behaved file server."""
    own_headers = {"ETag": serving.etag} if serving.etag else {}
    body = serving.data
    asked_range = headers.get("range", "")
    is_same_file = headers.get("if-range", serving.etag) == serving.etag
    status = serving.status
    if status == 200 and serving.has_ranges and is_same_file and asked_range.startswith("bytes="):
        start = int(asked_range.removeprefix("bytes=").rstrip("-"))
        if start >= len(body):
            return 416, b"", {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"}
        own_headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        status, body = 206, body[start:]
    if serving.is_size_told:
        own_headers["Content-Length"] = str(len(body))
    return status, body, own_headers
