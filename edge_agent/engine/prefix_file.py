"""The file of one prefix: its tokens and the bytes of their KV cells. Nothing that a file says is believed unchecked.

Little-endian: magic, version and three lengths; facts as JSON; tokens as int32; a checksum of all that; the state; a
checksum of everything before. Knows no folder: which files there are is `prefix_folder`'s business.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta

MAGIC = b"eaprefix"
VERSION = 1
# Magic, version, bytes of facts, number of tokens, bytes of state.
HEADER = struct.Struct("<8sIIIQ")
TOKEN_BYTES = 4
DIGEST_BYTES = 32
# The facts are five short words, a name of 128 characters, and JSON around them.
MAX_FACTS_BYTES = 4096
MAX_NAME_CHARACTERS = 128
# The longest context that can be configured.
MAX_PREFIX_TOKENS = 1_048_576

Word = Annotated[str, Meta(max_length=128)]


class BadPrefixFileError(Exception):
    """Not a whole prefix file of this version; the message says what is wrong with it."""


class PrefixIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What cells belong to: with any other model or context they would be nonsense."""

    model_digest: Word
    kv_cache_type: Word
    flash_attention: bool
    llama_cpp_version: Word


class PrefixFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file says of itself. `created` is wall-clock seconds; a pinned prefix need not have a name."""

    identity: PrefixIdentity
    is_pinned: bool
    name: Annotated[str, Meta(max_length=MAX_NAME_CHARACTERS)] | None
    # 2**40: some thirty thousand years.
    created: Annotated[int, Meta(ge=0, le=2**40)]


class PrefixHead(msgspec.Struct, frozen=True):
    """All of a file but its state. `tokens` are int32."""

    facts: PrefixFacts
    tokens: bytes
    num_state_bytes: int

    @property
    def num_tokens(self) -> int:
        return len(self.tokens) // TOKEN_BYTES

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return len(encode_head(self)) + self.num_state_bytes + DIGEST_BYTES


_decoder = msgspec.json.Decoder(PrefixFacts)


def pack_tokens(tokens: list[int]) -> bytes:
    """Token ids as a file has them."""
    return struct.pack(f"<{len(tokens)}i", *tokens)


def unpack_tokens(packed: bytes) -> list[int]:
    """Token ids from what a file has."""
    return list(struct.unpack(f"<{len(packed) // TOKEN_BYTES}i", packed))


def encode_head(head: PrefixHead) -> bytes:
    """Everything before the state."""
    facts = msgspec.json.encode(head.facts)
    start = HEADER.pack(MAGIC, VERSION, len(facts), head.num_tokens, head.num_state_bytes)
    unsigned = start + facts + head.tokens
    return unsigned + _digest(unsigned)


def read_head(path: Path) -> PrefixHead:
    """The head of a file. Raises BadPrefixFileError, or OSError where it cannot be read."""
    with _open(path) as file:
        head, _ = _read_head(file)
        return head


def read_state(path: Path, head: PrefixHead) -> bytes:
    """The state of the file whose head was read before. Raises as `read_head` does, for whatever has changed too."""
    with _open(path) as file:
        found, raw = _read_head(file)
        if found != head:
            raise BadPrefixFileError("it is not the file that it was")
        state = _read(file, head.num_state_bytes)
        if _read(file, DIGEST_BYTES) != _digest(raw, state):
            raise BadPrefixFileError("its checksum is wrong")
        return state


def write_prefix(path: Path, head: PrefixHead, state: bytes) -> None:
    """Put a whole file in place, or none: under another name first, and on the disk before it gets its own."""
    unfinished = unfinished_path(path)
    raw = encode_head(head)
    try:
        unfinished.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(unfinished, flags, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            for part in (raw, state, _digest(raw, state)):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        _sync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def unfinished_path(path: Path) -> Path:
    """What a file is called while it is being written."""
    return path.with_name(f"{path.name}.new")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path) -> BinaryIO:
    """Open a regular file and nothing else; a pipe by that name does not make us wait."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadPrefixFileError("it is not a regular file")
    return open(descriptor, "rb", buffering=0)  # noqa: PTH123 - a descriptor, not a path


def _read_head(file: BinaryIO) -> tuple[PrefixHead, bytes]:
    """The head and its bytes. Lengths are held against the file's size before anything is read by them."""
    start = _read(file, HEADER.size)
    magic, version, num_facts, num_tokens, num_state = HEADER.unpack(start)
    if magic != MAGIC:
        raise BadPrefixFileError("it is not a prefix file")
    if version != VERSION:
        raise BadPrefixFileError(f"it is of version {version}, this is {VERSION}")
    if num_facts > MAX_FACTS_BYTES or not 1 <= num_tokens <= MAX_PREFIX_TOKENS:
        raise BadPrefixFileError("its lengths are not plausible")
    size = HEADER.size + num_facts + num_tokens * TOKEN_BYTES + num_state + 2 * DIGEST_BYTES
    if size != os.fstat(file.fileno()).st_size:
        raise BadPrefixFileError("its size is not what it says")
    facts, tokens = _read(file, num_facts), _read(file, num_tokens * TOKEN_BYTES)
    unsigned = start + facts + tokens
    checksum = _read(file, DIGEST_BYTES)
    if checksum != _digest(unsigned):
        raise BadPrefixFileError("the checksum of its head is wrong")
    return PrefixHead(_decode_facts(facts), tokens, num_state), unsigned + checksum


def _decode_facts(raw: bytes) -> PrefixFacts:
    try:
        return _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadPrefixFileError(f"its facts cannot be read: {error}") from error


def _read(file: BinaryIO, num_bytes: int) -> bytes:
    """So many bytes. The size was checked, so a file that ends before is being changed."""
    parts, missing = [], num_bytes
    while missing and (part := file.read(missing)):
        parts.append(part)
        missing -= len(part)
    if missing:
        raise BadPrefixFileError("it ends too early")
    return b"".join(parts)


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()
