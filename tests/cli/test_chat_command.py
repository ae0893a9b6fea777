from __future__ import annotations

import asyncio
import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner

from edge_agent.cli import commands, run_command_line
from edge_agent.cli.chat import Answer, Choice, Chunk, Delta, Timings, show_answer
from edge_agent.cli.context import CommandContext

# Long enough for the slowest machine; reached only when something is broken.
PATIENCE_SECONDS = 60


def text_event(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"


LAST_EVENTS = (
    b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
    b'data: {"choices": [], "usage": {"completion_tokens": 2},'
    b' "timings": {"prompt_ms": 12.5, "predicted_per_second": 42.5}}\n\n'
    b"data: [DONE]\n\n"
)


class ChatServer:
    """A real HTTP server on a thread of its own: answers with the bytes it is given, notes what it is asked."""

    def __init__(self) -> None:
        self.events: list[bytes] = [text_event("Hello"), text_event(" world"), LAST_EVENTS]
        self.status = 200
        self.is_silent_at_the_end = False
        self.requests: list[dict[str, Any]] = []
        self.client_left = threading.Event()
        self.url = ""
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        # The answer is cancelled when the client leaves.
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        if self.status != 200:
            return web.Response(status=self.status, body=b"".join(self.events))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in self.events:
            await response.write(event)
        if self.is_silent_at_the_end:
            try:
                await self._stop.wait()
            finally:
                self.client_left.set()
        return response


@pytest.fixture
def server() -> Iterator[ChatServer]:
    server = ChatServer()
    server.start()
    yield server
    server.close()


def answer(server: ChatServer, *arguments: str, stdin: str = "") -> str:
    """What `edge-agent chat` prints when all goes well."""
    result = CliRunner().invoke(
        commands, ["chat", "--url", server.url, *arguments], input=stdin, obj=CommandContext(environ={})
    )
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def complaint(capsys: pytest.CaptureFixture[str], url: str, *, code: int = 1) -> tuple[str, str]:
    """Output and error line when it does not."""
    assert run_command_line(["chat", "--url", url, "Hi"], CommandContext(environ={})) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


# --- one question ------------------------------------------------------------------------------------------------


def test_a_prompt_is_answered_once_in_plain_text(server: ChatServer) -> None:
    assert answer(server, "Say", "hello") == "Hello world\n"
    assert server.requests == [
        {
            "messages": [{"role": "user", "content": "Say hello"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


def test_options_become_parameters_of_the_request(server: ChatServer) -> None:
    answer(server, "--model", "m", "--system", "Be brief.", "--temperature", "0", "--max-tokens", "5", "Hi")

    assert server.requests == [
        {
            "model": "m",
            "temperature": 0.0,
            "max_tokens": 5,
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]


def test_piped_text_is_the_prompt(server: ChatServer) -> None:
    assert answer(server, stdin="Grüße,\nbitte\n") == "Hello world\n"
    assert server.requests[0]["messages"] == [{"role": "user", "content": "Grüße,\nbitte\n"}]


def test_an_argument_that_is_no_unicode_is_asked_all_the_same(server: ChatServer) -> None:
    assert answer(server, "caf\udce9") == "Hello world\n"
    assert server.requests[0]["messages"] == [{"role": "user", "content": "caf?"}]


def test_a_url_may_end_in_v1(server: ChatServer) -> None:
    server.url += "/v1/"

    assert answer(server, "Hi") == "Hello world\n"


def test_comments_between_events_are_no_text(server: ChatServer) -> None:
    server.events.insert(1, b": still there\n\n")

    assert answer(server, "Hi") == "Hello world\n"


def test_escape_sequences_of_the_model_do_not_reach_the_terminal(server: ChatServer) -> None:
    server.events = [text_event("red\x1b"), text_event("[31m \x9b2J\x07\rtab\there\u202e\nend"), LAST_EVENTS]

    assert answer(server, "Hi") == "red[31m 2Jtab\there\nend\n"


def test_nothing_to_ask_is_wrong_usage() -> None:
    result = CliRunner().invoke(commands, ["chat"], input=" \n", obj=CommandContext(environ={}))

    assert result.exit_code == 2
    assert "Nothing to ask; give a PROMPT or pipe one in." in result.stderr


# --- what goes wrong ---------------------------------------------------------------------------------------------


def test_the_servers_own_message_is_shown(server: ChatServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.status = 400
    server.events = [b'{"error": {"message": "the prompt has 9 tokens\\u001b[2J, 8 fit", "type": "x"}}']

    assert complaint(capsys, server.url) == (
        "",
        "edge-agent: the prompt has 9 tokens\\x1b[2J, 8 fit (HTTP 400 Bad Request)\n",
    )


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b'{"error": "no"}', b""])
def test_a_server_of_another_kind_is_told_by_its_status(
    server: ChatServer, capsys: pytest.CaptureFixture[str], body: bytes
) -> None:
    server.status, server.events = 502, [body]

    assert complaint(capsys, server.url) == (
        "",
        "edge-agent: HTTP 502 Bad Gateway: no server of chat completions; is --url right?\n",
    )


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (b'data: {"error": {"message": "the engine ended"}}\n\n', "the engine ended"),
        (b"", "the server broke off its answer; its log says why"),
        (b'data: {"choices": [', "the server sent an event that is cut off or too long; its log may say why"),
        (b"data: " + b"x" * 1048576, "the server sent an event that is cut off or too long; its log may say why"),
    ],
    ids=["error", "end", "cut", "endless"],
)
def test_an_answer_that_fails_halfway_says_so_below_its_text(
    server: ChatServer, capsys: pytest.CaptureFixture[str], end: bytes, message: str
) -> None:
    server.events = [text_event("Hello"), end]

    assert complaint(capsys, server.url) == ("Hello\n", f"edge-agent: {message}\n")


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"choices": 1}', b'{"error": {"message": "\xff"}}'])
def test_what_is_no_chunk_is_refused(server: ChatServer, capsys: pytest.CaptureFixture[str], data: bytes) -> None:
    server.events = [b"data: " + data + b"\n\n"]

    out, err = complaint(capsys, server.url)

    assert out == ""
    assert err.startswith("edge-agent: the server sent what is no chunk of an answer (")


def test_without_a_server_the_remedy_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:  # bound but not listening: refuses, and nobody else can have the port
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"

        assert complaint(capsys, url) == ("", f"edge-agent: no server at {url}; start it with: edge-agent serve\n")


def test_a_host_name_that_cannot_be_looked_up_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = complaint(capsys, "http://a..b:1")

    assert err.startswith("edge-agent: no answer from http://a..b:1 (")
    assert err.endswith("); is --url right?\n")


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://a", "http://", "http://a:x", "http://[::1", ""])
def test_what_is_no_address_is_wrong_usage(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert complaint(capsys, url, code=2)[1] == (
        f"edge-agent: Invalid value for '--url': {url!r} is no address of a server; "
        "give one such as http://127.0.0.1:8080. See edge-agent chat --help.\n"
    )


# --- timing ------------------------------------------------------------------------------------------------------


def chunks_at(clock: list[float]) -> Generator[Chunk]:
    """A server that thinks for 1.25 s, then says two things half a second apart."""
    clock[0] += 1.25
    yield Chunk(choices=[Choice(delta=Delta(content="Hel"))])
    clock[0] += 0.5
    yield Chunk(choices=[Choice(delta=Delta(content="lo"), finish_reason="length")])
    yield Chunk(timings=Timings(predicted_per_second=42.5))


def test_time_to_first_token_runs_from_sending_to_the_first_text(capsys: pytest.CaptureFixture[str]) -> None:
    clock = [100.0]

    shown = show_answer(chunks_at(clock), clock=lambda: clock[0])

    assert shown == Answer(
        text="Hello",
        time_to_first_token_seconds=1.25,
        tokens_per_second=42.5,
        finish_reason="length",
        is_interrupted=False,
    )
    assert shown.summary == "42.5 tokens/s, first token after 1.25 s, cut at the token limit"
    assert capsys.readouterr().out == "Hello\n"


# --- a conversation in a terminal --------------------------------------------------------------------------------


class Terminal:
    """`edge-agent chat` at the other end of a pseudo-terminal."""

    def __init__(self, url: str, home: Path) -> None:
        self._end, its_end = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge_agent", "chat", "--url", url],
            stdin=its_end,
            stdout=its_end,
            stderr=its_end,
            env={"TERM": "xterm", "HOME": str(home), "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(its_end)

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def read_until(self, expected: str) -> str:
        """All that appears up to and including `expected`."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        seen = b""
        while expected.encode() not in seen:
            readable, _, _ = select.select([self._end], [], [], max(0, deadline - time.monotonic()))
            assert readable, f"{expected!r} did not appear in {seen!r}"
            seen += os.read(self._end, 1)
        return seen.decode("utf-8", "replace")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._end)


@pytest.fixture
def terminal(server: ChatServer, tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(server.url, tmp_path)
    yield terminal
    terminal.close()


def test_a_conversation_is_kept_and_each_answer_timed(server: ChatServer, terminal: Terminal) -> None:
    terminal.read_until("> ")
    terminal.type("Hi\r")
    terminal.read_until("Hello world")
    terminal.read_until("\x1b[2m42.5 tokens/s, first token after ")
    terminal.read_until("> ")
    terminal.type("\r")
    terminal.read_until("> ")
    terminal.type("More\r")
    terminal.read_until("Hello world")
    terminal.read_until("> ")
    terminal.type("\x04")

    assert terminal.process.wait(PATIENCE_SECONDS) == 0
    assert server.requests[1]["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello world"},
        {"role": "user", "content": "More"},
    ]


def test_ctrl_c_stops_the_answer_only(server: ChatServer, terminal: Terminal) -> None:
    server.events, server.is_silent_at_the_end = [text_event("Once upon")], True
    terminal.read_until("> ")
    terminal.type("Tell\r")
    terminal.read_until("Once upon")
    terminal.process.send_signal(signal.SIGINT)
    terminal.read_until(", stopped")
    terminal.read_until("> ")
    assert server.client_left.wait(PATIENCE_SECONDS)

    server.events, server.is_silent_at_the_end = [text_event("Done"), LAST_EVENTS], False
    terminal.type("Go on\r")
    terminal.read_until("Done")

    assert server.requests[1]["messages"][1:] == [
        {"role": "assistant", "content": "Once upon"},
        {"role": "user", "content": "Go on"},
    ]


def test_a_failed_answer_is_told_and_forgotten(server: ChatServer, terminal: Terminal) -> None:
    good = server.events
    server.events = [text_event("Hel"), b'data: {"error": {"message": "the engine ended"}}\n\n']
    terminal.read_until("> ")
    terminal.type("Hi\r")
    terminal.read_until("edge-agent: the engine ended")
    terminal.read_until("> ")
    server.events = good
    terminal.type("Again\r")
    terminal.read_until("Hello world")

    assert server.requests[1]["messages"] == [{"role": "user", "content": "Again"}]


def test_ctrl_c_at_a_single_question_ends_with_130(server: ChatServer) -> None:
    server.events, server.is_silent_at_the_end = [text_event("Once upon")], True
    with subprocess.Popen(
        [sys.executable, "-m", "edge_agent", "chat", "--url", server.url, "Tell"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(9) == b"Once upon"
        process.send_signal(signal.SIGINT)

        assert process.wait(PATIENCE_SECONDS) == 130
        assert process.stderr.read() == b""
