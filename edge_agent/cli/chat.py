"""`edge-agent chat`: talk to a running server from the terminal, by the same HTTP API as any other client.

One thread, blocking: Ctrl-C interrupts the read, which closes the connection, which tells the server to stop. The
server and the model behind it are not trusted: nothing that they send can steer the terminal.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import sys
import time
from collections.abc import Callable, Generator, Iterator
from urllib.parse import urlsplit

import click
import msgspec
from msgspec import Struct

from edge_agent.logging_setup import escaped

CONNECT_TIMEOUT_SECONDS = 10
# 11 minutes: a server that waits for the model sends a comment at the very least every ten (server.keepalive_seconds).
READ_TIMEOUT_SECONDS = 660
# 1 MiB: an event holds a token or two; more is no answer to a chat.
MAX_LINE_BYTES = 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
# Everything that a terminal obeys but tab and newline. Without its first character an escape sequence is mere text.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

Message = dict[str, str]


class Server(Struct, frozen=True):
    """Where requests go."""

    url: str
    is_encrypted: bool
    host: str
    port: int | None
    path: str


class Delta(Struct, frozen=True):
    """The next piece of text."""

    content: str | None = None


class Choice(Struct, frozen=True):
    """One answer's part of a chunk."""

    delta: Delta = Delta()
    finish_reason: str | None = None


class Timings(Struct, frozen=True):
    """The server's own measurements, as llama-server names them; in the last chunk."""

    predicted_per_second: float | None = None


class ErrorDetail(Struct, frozen=True):
    """What the server says is wrong."""

    message: str


class Chunk(Struct, frozen=True):
    """One event of the stream, less what is not shown."""

    choices: list[Choice] = []
    timings: Timings | None = None
    error: ErrorDetail | None = None


class Failure(Struct, frozen=True):
    """The body of an answer that is no 200."""

    error: ErrorDetail


class Answer(Struct, frozen=True):
    """What was shown. Seconds run from sending the request to its first text; None: none came."""

    text: str
    time_to_first_token_seconds: float | None
    tokens_per_second: float | None
    finish_reason: str | None
    is_interrupted: bool

    @property
    def summary(self) -> str:
        """One line about how it went."""
        parts = []
        if self.tokens_per_second is not None:
            parts.append(f"{self.tokens_per_second:.1f} tokens/s")
        if self.time_to_first_token_seconds is not None:
            parts.append(f"first token after {self.time_to_first_token_seconds:.2f} s")
        if self.is_interrupted:
            parts.append("stopped")
        if self.finish_reason == "length":
            parts.append("cut at the token limit")
        return ", ".join(parts)


def _server(_context: click.Context, _parameter: click.Parameter, url: str) -> Server:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise click.BadParameter(f"{url!r} is no address of a server; give one such as http://127.0.0.1:8080.")
    path = parts.path.rstrip("/").removesuffix("/v1") + "/v1/chat/completions"
    return Server(url, parts.scheme == "https", parts.hostname, port, path)


@click.command()
@click.option(
    "--url", "server", default="http://127.0.0.1:8080", show_default=True, callback=_server, help="The server."
)
@click.option("--model", metavar="NAME", help="Model to ask for; the loaded one if not given.")
@click.option("--system", metavar="TEXT", help="System prompt.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="0 takes the likeliest token each time.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Longest answer, in tokens.")
@click.argument("prompt", nargs=-1)
def chat(server: Server, system: str | None, prompt: tuple[str, ...], **parameters: object) -> None:
    """Talk to a running server, or ask it PROMPT (or standard input) and leave.

    Ctrl-C stops an answer, Ctrl-D ends the conversation.
    """
    given = {name: value for name, value in parameters.items() if value is not None}
    messages = [] if system is None else [{"role": "system", "content": system}]

    def ask(text: str) -> Generator[Chunk]:
        messages.append({"role": "user", "content": text})
        body = {**given, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        # An argument that is not UTF-8 has reached us with lone surrogates in it.
        return stream_answer(server, json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))

    if prompt:
        _answer_once(ask, " ".join(prompt))
    elif not sys.stdin.isatty():
        _answer_once(ask, sys.stdin.buffer.read().decode("utf-8", "replace"))
    else:
        _converse(ask, messages)


def _answer_once(ask: Callable[[str], Generator[Chunk]], text: str) -> None:
    if not text.strip():
        raise click.UsageError("Nothing to ask; give a PROMPT or pipe one in.")
    answer = show_answer(ask(text), clock=time.monotonic)
    if answer.is_interrupted:
        raise click.Abort


def _converse(ask: Callable[[str], Generator[Chunk]], messages: list[Message]) -> None:
    from rich.console import Console  # noqa: PLC0415 (other commands do not pay for its import)
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    for text in _prompts():
        num_messages = len(messages)
        try:
            answer = show_answer(ask(text), clock=time.monotonic)
        except click.ClickException as error:
            click.echo(f"edge-agent: {escaped(error.message)}", err=True)
            del messages[num_messages:]
            continue
        console.print(Text(answer.summary, style="dim"))
        if answer.text:
            messages.append({"role": "assistant", "content": answer.text})
        else:
            del messages[num_messages:]


def _prompts() -> Iterator[str]:
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401, PLC0415 (gives input() line editing; some Pythons are built without)
    while True:
        try:
            text = input("> ")
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.echo()
            continue
        if text.strip():
            yield text


class _Screen:
    """An answer while it is being written; owned by `show_answer`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sent = clock()
        self._first_text: float | None = None
        self._texts: list[str] = []
        self._tokens_per_second: float | None = None
        self._finish_reason: str | None = None

    def show(self, chunk: Chunk) -> None:
        for choice in chunk.choices:
            self._finish_reason = choice.finish_reason or self._finish_reason
            if choice.delta.content:
                self._write(choice.delta.content)
        if chunk.timings is not None:
            self._tokens_per_second = chunk.timings.predicted_per_second

    def end_line(self) -> None:
        if self._texts:
            click.echo()

    def answer(self, *, is_interrupted: bool) -> Answer:
        seconds = None if self._first_text is None else self._first_text - self._sent
        return Answer("".join(self._texts), seconds, self._tokens_per_second, self._finish_reason, is_interrupted)

    def _write(self, text: str) -> None:
        if self._first_text is None:
            self._first_text = self._clock()
        self._texts.append(text)
        encoding = sys.stdout.encoding or "utf-8"
        click.echo(printable(text).encode(encoding, "replace").decode(encoding), nl=False)


def show_answer(chunks: Generator[Chunk], *, clock: Callable[[], float]) -> Answer:
    """Write the answer's text as it comes; an interrupt ends it early. Raises ClickException if the server fails."""
    screen = _Screen(clock)
    try:
        with contextlib.closing(chunks):
            for chunk in chunks:
                screen.show(chunk)
    except KeyboardInterrupt:
        return screen.answer(is_interrupted=True)
    finally:
        screen.end_line()
    return screen.answer(is_interrupted=False)


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return CONTROL.sub("", text)


# --- HTTP --------------------------------------------------------------------------------------------------------


def stream_answer(server: Server, body: bytes) -> Generator[Chunk]:
    """Send the request, then yield what comes back. Raises ClickException with the server's message or a remedy."""
    connection = _connection(server)
    try:
        connection.connect()
        connection.sock.settimeout(READ_TIMEOUT_SECONDS)
        connection.request("POST", server.path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise click.ClickException(_failure(response))
        yield from _chunks(response)
    except ConnectionRefusedError:
        raise click.ClickException(f"no server at {server.url}; start it with: edge-agent serve") from None
    except TimeoutError:
        raise click.ClickException(f"{server.url} does not answer; see the log of the server") from None
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise click.ClickException(f"no answer from {server.url} ({error}); is --url right?") from error
    finally:
        connection.close()


def _connection(server: Server) -> http.client.HTTPConnection:
    if server.is_encrypted:
        return http.client.HTTPSConnection(server.host, server.port, timeout=CONNECT_TIMEOUT_SECONDS)
    return http.client.HTTPConnection(server.host, server.port, timeout=CONNECT_TIMEOUT_SECONDS)


def _failure(response: http.client.HTTPResponse) -> str:
    status = f"HTTP {response.status} {response.reason}"
    try:
        return f"{msgspec.json.decode(response.read(MAX_ERROR_BYTES), type=Failure).error.message} ({status})"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"{status}: no server of chat completions; is --url right?"


def _chunks(response: http.client.HTTPResponse) -> Iterator[Chunk]:
    for data in _event_data(response):
        if data == b"[DONE]":
            return
        try:
            chunk = msgspec.json.decode(data, type=Chunk)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise click.ClickException(f"the server sent what is no chunk of an answer ({error})") from error
        if chunk.error is not None:
            raise click.ClickException(chunk.error.message)
        yield chunk
    raise click.ClickException("the server broke off its answer; its log says why")


def _event_data(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The `data` of each server-sent event; this API never spreads one over several lines."""
    while line := response.readline(MAX_LINE_BYTES):
        if not line.endswith(b"\n"):
            raise click.ClickException("the server sent an event that is cut off or too long; its log may say why")
        if line.startswith(b"data:"):
            yield line.removeprefix(b"data:").strip()
