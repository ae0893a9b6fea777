"""The page's files: sent as what they are, with the headers that keep them harmless, and nothing else is sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from importlib.resources import files

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from edge_agent.web.pages import CONTENT_TYPES, add_pages

STATIC = files("edge_agent.web") / "static"


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    application = web.Application()
    add_pages(application)
    server = TestServer(application)
    await server.start_server()
    yield server
    await server.close()


@pytest.fixture
async def http(server: TestServer) -> AsyncIterator[ClientSession]:
    async with ClientSession(base_url=server.make_url("/")) as session:
        yield session


async def test_the_page_is_html_under_a_strict_policy(http: ClientSession) -> None:
    async with http.get("/") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert response.headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert response.headers["Cache-Control"] == "no-cache"
        assert (await response.text()).startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("chat.js", "text/javascript; charset=utf-8"),
        ("chat.css", "text/css; charset=utf-8"),
        ("favicon.svg", "image/svg+xml"),
    ],
)
async def test_files_are_sent_as_what_they_are(http: ClientSession, name: str, content_type: str) -> None:
    async with http.get(f"/static/{name}") as response:
        assert (response.status, response.headers["Content-Type"]) == (200, content_type)
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
        assert await response.read() == (STATIC / name).read_bytes()


def test_every_file_that_is_shipped_is_served() -> None:
    assert sorted(file.name for file in STATIC.iterdir()) == sorted(CONTENT_TYPES)


def texts(suffixes: Iterable[str]) -> dict[str, str]:
    return {
        file.name: file.read_text(encoding="utf-8") for file in STATIC.iterdir() if file.name.endswith(tuple(suffixes))
    }


def test_every_file_that_is_asked_for_is_served() -> None:
    asked = {
        name
        for text in texts([".html", ".js"]).values()
        for name in re.findall(r'(?:"/static/|from "\./)([\w.]+)"', text)
    }
    assert {"chat.js", "chat.css", "favicon.svg", "sse.js"} <= asked
    assert asked == set(CONTENT_TYPES) - {"index.html"}


def test_the_page_has_no_inline_script_or_style_and_asks_no_other_host() -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=\"/static/)", page) == []
    for name, text in texts([".html", ".js", ".css"]).items():
        assert re.findall(r"(?:https?:)?//\w+\.", text) == [], name


def test_no_script_makes_markup_of_a_text() -> None:
    for name, text in texts([".js"]).items():
        assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", text) == [], name


async def test_a_browser_that_has_a_file_is_not_sent_it_again(http: ClientSession) -> None:
    async with http.get("/static/chat.js") as response:
        etag = response.headers["ETag"]
    async with http.get("/static/chat.js", headers={"If-None-Match": f'"other", {etag}'}) as response:
        assert (response.status, await response.read(), response.headers["ETag"]) == (304, b"", etag)
        assert "Content-Security-Policy" in response.headers
    async with http.get("/static/chat.css", headers={"If-None-Match": etag}) as response:
        assert response.status == 200


async def test_head_tells_without_sending(http: ClientSession) -> None:
    async with http.head("/") as response:
        assert response.status == 200
        assert int(response.headers["Content-Length"]) == len((STATIC / "index.html").read_bytes())
        assert await response.read() == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/static/chat.js"])
async def test_files_are_only_read(http: ClientSession, method: str, path: str) -> None:
    async with http.request(method, path) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/nothing.js",
        "/static/pages.py",
        "/static/../pages.py",
        "/static/..%2fpages.py",
        "/static/%2e%2e%2fpages.py",
        "/static/..%5cpages.py",
        "/static/%2fetc%2fpasswd",
        "/static//etc/passwd",
        "/static/chat.js%00",
        "/static/chat.js/",
        "/static/CHAT.JS",
    ],
)
async def test_nothing_else_is_sent_whatever_the_path(server: TestServer, path: str) -> None:
    # By hand: a client would tidy the path up.
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: device\r\nConnection: close\r\n\r\n".encode())
    status_line = await reader.readline()
    await reader.read()
    writer.close()
    await writer.wait_closed()
    assert status_line.startswith(b"HTTP/1.1 404 ")
