"""Reads what a receiver wants to see of us: a token or a password, and the certificate that we want to see of it.

From files, for each request anew, so that a rotated secret is in force at once. It blocks: for a worker thread, one at
a time. A secret's text is in no error and no log line.
"""

from __future__ import annotations

import base64
import os
import re
import ssl
from collections.abc import Mapping

from msgspec import Struct

from edge_agent.config import RemoteWriteEndpoint

MAX_SECRET_BYTES = 16 * 1024
# 1 MiB: a system's whole bundle of authorities has a quarter of that.
MAX_CA_BYTES = 1024 * 1024


class UnusableFileError(Exception):
    """A file that the configuration names cannot be used; the message says why and what to do."""


class Credentials(Struct, frozen=True):
    """What goes with one request. Without a context of its own TLS trusts the system's authorities.

    `secrets` are the texts in the headers that nobody else may see, in every form that they have there.
    """

    headers: Mapping[str, str] = {}
    secrets: frozenset[str] = frozenset()
    tls: ssl.SSLContext | None = None


class CredentialFiles:
    """Those of one receiver."""

    def __init__(self, endpoint: RemoteWriteEndpoint) -> None:
        self._endpoint = endpoint
        self._ca = b""
        self._tls: ssl.SSLContext | None = None

    def read(self) -> Credentials:
        """As the files are now. Raises UnusableFileError."""
        endpoint, tls = self._endpoint, self._tls_context()
        if endpoint.bearer_token_file is not None:
            token = _token(endpoint.bearer_token_file)
            return Credentials({"Authorization": f"Bearer {token}"}, frozenset({token}), tls)
        if endpoint.username is not None and endpoint.password_file is not None:
            password = _secret(endpoint.password_file, "password_file")
            pair = base64.b64encode(f"{endpoint.username}:{password}".encode()).decode()
            return Credentials({"Authorization": f"Basic {pair}"}, frozenset({password, pair}), tls)
        return Credentials(tls=tls)

    def _tls_context(self) -> ssl.SSLContext | None:
        """Built again only when the file has changed, since connections are kept for a context."""
        path = self._endpoint.ca_file
        if path is None:
            return None
        content = _content(path, "ca_file", max_bytes=MAX_CA_BYTES)
        if self._tls is None or content != self._ca:
            self._tls = _context(path, content)
            self._ca = content
        return self._tls


def _context(path: str, content: bytes) -> ssl.SSLContext:
    # Not `create_default_context`: to that, an empty file means the system's authorities.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=content.decode("ascii", errors="ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise UnusableFileError(f"ca_file {path} holds no certificates in PEM; give such a file") from error
    return context


def _token(path: str) -> str:
    token = _secret(path, "bearer_token_file").strip()
    if not re.fullmatch(r"[!-~]+", token):
        raise UnusableFileError(f"bearer_token_file {path} holds more than one word of ASCII; write the token alone")
    return token


def _secret(path: str, key: str) -> str:
    content = _content(path, key, max_bytes=MAX_SECRET_BYTES)
    try:
        secret = content.decode("utf-8").strip("\r\n")
    except UnicodeDecodeError:
        secret = ""
    if not secret:
        raise UnusableFileError(f"{key} {path} holds no text; write the secret into it")
    return secret


def _content(path: str, key: str, *, max_bytes: int) -> bytes:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            content = file.read(max_bytes + 1) or b""
    except OSError as error:
        raise UnusableFileError(
            f"{key} {path} cannot be read ({error.strerror}); put it there, readable for the agent's user"
        ) from error
    if len(content) > max_bytes:
        raise UnusableFileError(f"{key} {path} has more than {max_bytes} bytes; give the right file")
    return content


def _open_at_once(path: str, flags: int) -> int:
    """A pipe in the file's place would hold the thread for ever."""
    return os.open(path, flags | os.O_NONBLOCK)
