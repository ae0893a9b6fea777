from __future__ import annotations

import asyncio
import datetime
import gzip
import ipaddress
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_agent.config import RemoteWriteEndpoint
from edge_agent.telemetry.remote_write.answer import Answer
from edge_agent.telemetry.remote_write.receiver import Receiver, UnreachableError
from tests.telemetry.remote_write.scripted_receiver import Reply, receiving


@asynccontextmanager
async def connected(
    url: str, *, ca_file: str | None = None, token_file: str | None = None, timeout_seconds: float = 20.0
) -> AsyncIterator[Receiver]:
    endpoint = RemoteWriteEndpoint(
        url=url, ca_file=ca_file, bearer_token_file=token_file, timeout_seconds=timeout_seconds
    )
    receiver = Receiver(endpoint, version="9.8.7", wall_clock=lambda: 1_700_000_000.0)
    try:
        yield receiver
    finally:
        await receiver.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def answer_to(reply: Reply) -> Answer:
    async with receiving(reply) as server, connected(server.url) as receiver:
        return await receiver.send(b"body")


async def test_a_request_has_the_headers_of_the_specification(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("secret\n")
    async with receiving() as server, connected(server.url, token_file=str(token_file)) as receiver:
        assert await receiver.send(b"body") == Answer(204)
    (sent,) = server.sent
    assert (sent.path, sent.body) == ("/api/v1/write", b"body")
    names = ("Content-Type", "Content-Encoding", "X-Prometheus-Remote-Write-Version", "User-Agent", "Authorization")
    assert [sent.headers[name] for name in names] == [
        "application/x-protobuf",
        "snappy",
        "0.1.0",
        "edge-agent/9.8.7",
        "Bearer secret",
    ]


async def test_an_answer_comes_with_the_start_of_its_text_and_its_wish() -> None:
    reply = Reply(status=429, text=b"slow\ndown " + b"x" * 1_000_000, headers={"Retry-After": "7"})
    assert await answer_to(reply) == Answer(429, "slow down " + "x" * 190, 7.0)


async def test_a_compressed_answer_is_not_unpacked() -> None:
    reply = Reply(status=400, text=gzip.compress(b"x" * 1_000_000), headers={"Content-Encoding": "gzip"})
    async with receiving(reply) as server, connected(server.url) as receiver:
        answer = await receiver.send(b"body")
    assert server.sent[0].headers["Accept-Encoding"] == "identity"
    assert answer.status == 400
    assert "xx" not in answer.text


async def test_a_redirect_is_not_followed() -> None:
    async with receiving() as target, receiving(Reply(status=307, headers={"Location": target.url})) as server:
        async with connected(server.url) as receiver:
            assert (await receiver.send(b"body")).status == 307
        assert (len(server.sent), target.sent) == (1, [])


async def test_cookies_are_not_kept() -> None:
    async with receiving(Reply(headers={"Set-Cookie": "a=b"})) as server, connected(server.url) as receiver:
        await receiver.send(b"1")
        await receiver.send(b"2")
    assert ["Cookie" in sent.headers for sent in server.sent] == [False, False]


async def test_nobody_there_is_told_as_such() -> None:
    async with connected(f"http://127.0.0.1:{free_port()}/") as receiver:
        with pytest.raises(UnreachableError, match="Connect call failed"):
            await receiver.send(b"body")


async def test_a_receiver_that_does_not_answer_is_given_up() -> None:
    async with receiving(Reply(is_hanging=True)) as server, connected(server.url, timeout_seconds=0.05) as receiver:
        with pytest.raises(UnreachableError, match=r"^no answer within 0\.05 s$"):
            await receiver.send(b"body")


async def sent_to(answer: bytes, *, is_hanging: bool = False, query: str = "") -> Answer:
    """What comes of a request to a server that writes these bytes, and then goes or hangs."""
    is_over = asyncio.Event()

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"body")
        writer.write(answer)
        await writer.drain()
        if is_hanging:
            await is_over.wait()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(write, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connected(f"http://127.0.0.1:{port}/{query}") as receiver:
            try:
                return await receiver.send(b"body")
            finally:
                is_over.set()


@pytest.mark.parametrize(
    ("answer", "is_hanging"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", True),
    ],
    ids=["cut off", "never sent"],
)
async def test_a_status_counts_whatever_becomes_of_the_text_behind_it(answer: bytes, is_hanging: bool) -> None:
    assert await sent_to(answer, is_hanging=is_hanging) == Answer(200)


async def test_the_text_that_came_before_an_answer_broke_off_is_shown() -> None:
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 500\r\n\r\nout of order"
    assert await sent_to(answer) == Answer(400, "out of order")


@pytest.mark.parametrize("url", ["http://[::1", "http://a..b/w?key=s3cret", "http://host:99999/w?key=s3cret"])
async def test_a_url_that_leads_nowhere_is_told_without_its_secret(url: str) -> None:
    async with connected(url) as receiver:
        with pytest.raises(UnreachableError, match=r"^url has no host and port that could be asked; correct it$"):
            await receiver.send(b"body")


async def test_what_an_answer_repeats_of_our_secrets_is_not_shown(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("s3cret-token\n")
    reply = Reply(status=404, text=b"POST /write?key=k%2Fey and k/ey, Authorization: Bearer s3cret-token")
    async with (
        receiving(reply) as server,
        connected(f"{server.url}?key=k%2Fey", token_file=str(token_file)) as receiver,
    ):
        answer = await receiver.send(b"body")
    assert answer.text == "POST /write?*** and ***, Authorization: Bearer ***"


async def test_an_answer_that_is_no_http_shows_no_query() -> None:
    with pytest.raises(UnreachableError) as raised:
        await sent_to(b"gibberish\r\n\r\n", query="?key=s3cret")
    assert str(raised.value).startswith("what it answers is not HTTP: Bad status line:")
    assert "s3cret" not in str(raised.value)


def test_a_name_server_that_never_answers_does_not_hold_up_the_end() -> None:
    is_over = threading.Event()

    def lookup(*_: object, **__: object) -> list[tuple[Any, ...]]:
        is_over.wait()
        return []

    async def give_up() -> None:
        endpoint = RemoteWriteEndpoint(url="http://metrics.example/", timeout_seconds=0.05)
        receiver = Receiver(endpoint, version="9.8.7", lookup=lookup)
        for _ in range(3):
            with pytest.raises(UnreachableError, match="no answer within"):
                await receiver.send(b"body")
        # Tried three times, waited for in one thread.
        assert sum(thread.name == "detached-call" for thread in threading.enumerate()) == 1
        await receiver.close()

    agent = threading.Thread(target=asyncio.run, args=(give_up(),))
    agent.start()
    agent.join(20)
    try:
        assert not agent.is_alive()
    finally:
        is_over.set()
        agent.join()


async def test_a_name_is_found_as_the_system_finds_it() -> None:
    def lookup(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        asked.append(host)
        return socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)

    asked: list[str] = []
    async with receiving() as server:
        url = server.url.replace("127.0.0.1", "metrics.example")
        receiver = Receiver(RemoteWriteEndpoint(url=url), version="9.8.7", lookup=lookup)
        assert await receiver.send(b"body") == Answer(204)
        await receiver.close()
    assert asked == ["metrics.example"]


async def test_without_its_credentials_nothing_is_sent(tmp_path: Path) -> None:
    token_file = str(tmp_path / "none")
    async with receiving() as server, connected(server.url, token_file=token_file) as receiver:
        with pytest.raises(UnreachableError, match=r"^bearer_token_file .* cannot be read"):
            await receiver.send(b"body")
    assert server.sent == []


async def test_a_receivers_name_leaves_out_what_may_be_a_secret() -> None:
    async with connected("https://metrics.example:8443/write?token=secret") as receiver:
        assert receiver.name == "https://metrics.example:8443/write"


# --- TLS ---------------------------------------------------------------------------------------------------------


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


async def test_a_receiver_proves_itself_by_the_configured_authority(tmp_path: Path) -> None:
    certificate_file, key_file = write_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate_file, key_file)
    async with receiving(tls=tls) as server:
        async with connected(server.url, ca_file=str(certificate_file)) as receiver:
            assert await receiver.send(b"body") == Answer(204)
        async with connected(server.url) as receiver:
            with pytest.raises(UnreachableError, match="certificate verify failed"):
                await receiver.send(b"body")
    assert len(server.sent) == 1
