"""Where Alertmanager's webhooks arrive: an HTTP server that keeps what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WebhookReceiver:
    """Keeps every alert of every message, in the order of arrival."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.url = ""
        self._came = threading.Condition()

    def take(self, message: dict[str, Any]) -> None:
        with self._came:
            self.alerts.extend(message["alerts"])
            self._came.notify_all()

    def wait_for(self, name: str, *, status: str = "firing", seconds: float = 120) -> dict[str, Any]:
        """The first alert of that name; AssertionError with all others when there is none in time."""

        def found() -> dict[str, Any] | None:
            return next((a for a in self.alerts if (a["labels"]["alertname"], a["status"]) == (name, status)), None)

        with self._came:
            self._came.wait_for(lambda: found() is not None, timeout=seconds)
        alert = found()
        assert alert is not None, f"no webhook of {name} {status} within {seconds:.0f} s; there came {self.alerts}"
        return alert


@contextmanager
def running_receiver() -> Iterator[WebhookReceiver]:
    """A receiver on a free port of the loopback address."""
    receiver = WebhookReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.take(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Tests show what came, not that it came."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
