"""One HTTP answer whose body is (the rest of) a file: redirects, ranges, the token's reach, and errors sorted by cure.

Synchronous, for the command line; a stalled server is noticed by the socket's timeout. Proxies come from the
environment that is passed in.
"""

from __future__ import annotations

import http.client
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO

from msgspec import Struct

from edge_agent.errors import DownloadError
from edge_agent.models.sources import HttpRequest, check_url, is_loopback, shown

MAX_REDIRECTS = 8
CHUNK_BYTES = 256 * 1024
USER_AGENT = "edge-agent"
REDIRECTS = frozenset({301, 302, 303, 307, 308})
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
RANGE_NOT_SATISFIABLE = 416
PARTIAL_CONTENT = 206
CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,256}"')
DECIMAL = re.compile(r"\d{1,18}")


class InterruptedTransferError(Exception):
    """The server may do better a little later; `retry_after_seconds` is its own wish."""

    def __init__(self, message: str, *, retry_after_seconds: int = 0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RangeRefusedError(Exception):
    """The server cannot go on from here: the download has to begin anew."""


class Resume(Struct, frozen=True):
    """Go on from this byte; with a tag only if the file is still the one that had it."""

    offset: int = 0
    etag: str | None = None


class Body(Struct, frozen=True):
    """An open answer: the byte it starts at, the whole file's size, the tag, and the stream."""

    start: int
    total_bytes: int
    etag: str | None
    stream: http.client.HTTPResponse

    def chunks(self) -> Iterator[bytes]:
        """What arrives, as it arrives. Raises InterruptedTransferError when the connection breaks or stalls."""
        try:
            while data := self.stream.read1(CHUNK_BYTES):
                yield data
        except (OSError, http.client.HTTPException) as error:
            raise InterruptedTransferError(f"the transfer broke off: {_reason(error)}") from error


@contextmanager
def open_body(
    request: HttpRequest, *, resume: Resume, timeout_seconds: float, environ: Mapping[str, str]
) -> Iterator[Body]:
    """Ask for the file from `resume.offset` on.

    Raises InterruptedTransferError (try again), RangeRefusedError (start over) or DownloadError (no use).
    """
    response = _follow(request, resume, timeout_seconds, environ)
    with response:
        yield _body(response, request.url, resume)


def _follow(
    request: HttpRequest, resume: Resume, timeout_seconds: float, environ: Mapping[str, str]
) -> http.client.HTTPResponse:
    url = request.url
    for _ in range(MAX_REDIRECTS):
        check_url(url)
        token = request.token if _origin(url) == _origin(request.url) else None
        try:
            return _open(url, _headers(resume, token), timeout_seconds, environ)
        except urllib.error.HTTPError as error:
            with error:
                url = _next_url(url, error)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _connection_error(url, error) from error
    raise DownloadError(f"{shown(request.url)} redirects more than {MAX_REDIRECTS} times")


def _open(
    url: str, headers: dict[str, str], timeout_seconds: float, environ: Mapping[str, str]
) -> http.client.HTTPResponse:
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler(_proxies(url, environ)))
    # check_url has let only https, and http to this machine, through.
    response: http.client.HTTPResponse = opener.open(
        urllib.request.Request(url, headers=headers),  # noqa: S310
        timeout=timeout_seconds,
    )
    return response


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Redirects come back as errors, since each hop is checked here and may not see the token."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> None:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _headers(resume: Resume, token: str | None) -> dict[str, str]:
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if resume.offset:
        headers["Range"] = f"bytes={resume.offset}-"
        if resume.etag:
            headers["If-Range"] = resume.etag
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return headers


def _next_url(url: str, error: urllib.error.HTTPError) -> str:
    """Where a redirect leads; every other status is an error."""
    location = error.headers.get("Location")
    if error.code not in REDIRECTS or not location:
        raise _status_error(url, error)
    try:
        target = urllib.parse.urljoin(url, location)
        is_inwards = is_loopback(_host(target)) and not is_loopback(_host(url))
    except ValueError as unreadable:
        raise DownloadError(f"{shown(url)} redirects to an address that cannot be read: {unreadable}") from None
    if is_inwards:
        raise DownloadError(f"{shown(url)} redirects to this machine itself, which no honest server does")
    return target


def _status_error(url: str, error: urllib.error.HTTPError) -> Exception:
    if error.code == RANGE_NOT_SATISFIABLE:
        return RangeRefusedError()
    message = f"{shown(url)} answered {error.code}"
    if error.code in RETRIED_STATUSES:
        wish = (error.headers.get("Retry-After") or "").strip()
        return InterruptedTransferError(message, retry_after_seconds=int(wish) if DECIMAL.fullmatch(wish) else 0)
    if error.code in {401, 403}:
        message += " (it wants a login: accept the model's licence there and set HF_TOKEN)"
    return DownloadError(message)


def _connection_error(url: str, error: Exception) -> Exception:
    reason = _reason(error)
    inner = getattr(error, "reason", error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return DownloadError(f"{shown(url)} has no valid certificate: {reason}; check this machine's clock")
    if isinstance(error, ValueError):
        return DownloadError(f"{shown(url)} cannot be asked for: {reason}")
    return InterruptedTransferError(f"{shown(url)} cannot be reached: {reason}")


def _body(response: http.client.HTTPResponse, url: str, resume: Resume) -> Body:
    etag = response.headers.get("ETag") or ""
    length = response.headers.get("Content-Length") or ""
    start, total = 0, int(length) if DECIMAL.fullmatch(length) else None
    if response.status == PARTIAL_CONTENT:
        start, total = _content_range(response, resume)
    if total is None:
        raise DownloadError(f"{shown(url)} does not say how large the file is")
    return Body(start, total, etag if STRONG_ETAG.fullmatch(etag) else None, response)


def _content_range(response: http.client.HTTPResponse, resume: Resume) -> tuple[int, int]:
    match = CONTENT_RANGE.fullmatch((response.headers.get("Content-Range") or "").strip())
    if match is None or int(match[1]) != resume.offset:
        raise RangeRefusedError
    return int(match[1]), int(match[3])


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).hostname or ""


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _proxies(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The proxies that the environment names, unless it exempts this host (this machine is always exempt)."""
    host = _host(url)
    exempt = {"no": environ.get("no_proxy") or environ.get("NO_PROXY") or ""}
    if is_loopback(host) or urllib.request.proxy_bypass_environment(host, exempt):  # type: ignore[attr-defined]
        return {}
    named = {
        scheme: environ.get(f"{scheme}_proxy") or environ.get(f"{scheme.upper()}_PROXY") for scheme in ("http", "https")
    }
    return {scheme: proxy for scheme, proxy in named.items() if proxy}


def _reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    inner = getattr(error, "reason", None) or error
    if isinstance(inner, TimeoutError):
        return "nothing came for too long"
    return str(inner).replace("\n", " ") or type(inner).__name__
