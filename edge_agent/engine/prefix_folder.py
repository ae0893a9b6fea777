"""The folder of prefix files: which of them can be used, and the removal of all others. Used by the step loop.

Whatever lies in the folder may have been put there by anyone. Names that are not a prefix's are left alone.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_agent.engine.prefix_file import (
    BadPrefixFileError,
    PrefixHead,
    PrefixIdentity,
    read_head,
    unfinished_path,
)

logger = logging.getLogger(__name__)

PREFIX_SUFFIX = ".kv"
UNFINISHED_SUFFIX = unfinished_path(Path(PREFIX_SUFFIX)).suffix
# Each is looked at in every search for a prompt's beginning; a board's disk holds fewer by far.
MAX_FILES = 256
# Names read of a folder in which somebody put more; what a dozen crashes leave behind is far less.
MAX_NAMES = 4096
# Tokens of all files, which are held in memory: 16 MB.
MAX_TOTAL_TOKENS = 4_000_000
ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class FoundPrefix:
    """A usable file."""

    id: str
    head: PrefixHead


class PrefixFolder:
    """Prefix files of one identity, named by their ids. Raises OSError where the folder cannot be made."""

    def __init__(self, folder: Path, identity: PrefixIdentity) -> None:
        self.identity = identity
        self._folder = folder
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def id_of(self, tokens: bytes) -> str:
        """The id of a prefix: a digest of what its cells belong to and of its tokens."""
        key = msgspec.json.encode(self.identity) + tokens
        return f"prefix-{hashlib.blake2b(key, digest_size=ID_BYTES).hexdigest()}"

    def path(self, prefix_id: str) -> Path:
        return self._folder / f"{prefix_id}{PREFIX_SUFFIX}"

    def scan(self) -> list[FoundPrefix]:
        """The usable files, least recently used first; all other prefix files are removed."""
        found: list[FoundPrefix] = []
        num_tokens = 0
        for path in self._newest_first():
            prefix = self._usable(path)
            if prefix is None:
                continue
            num_tokens += prefix.head.num_tokens
            if len(found) == MAX_FILES or num_tokens > MAX_TOTAL_TOKENS:
                self._discard(path, "there are too many")
            else:
                found.append(prefix)
        return found[::-1]

    def remove(self, prefix_id: str) -> None:
        """Remove a file that is no longer wanted."""
        _unlink(self.path(prefix_id))

    def discard(self, prefix_id: str, reason: str) -> None:
        """Remove a file that cannot be used, and say so."""
        self._discard(self.path(prefix_id), reason)

    def touch(self, prefix_id: str) -> None:
        """Note on the disk that a file was used just now."""
        try:
            os.utime(self.path(prefix_id), follow_symlinks=False)
        except OSError as error:
            logger.debug("a prefix file's time could not be set prefix=%s error=%s", prefix_id, error)

    def _newest_first(self) -> list[Path]:
        """The regular files with a prefix's name; half-written ones and other things by such names are removed."""
        times: list[tuple[int, Path]] = []
        with os.scandir(self._folder) as listing:
            names = [entry.name for entry in itertools.islice(listing, MAX_NAMES)]
        for path in map(self._folder.joinpath, names):
            if path.name.startswith("prefix-") and path.suffix == UNFINISHED_SUFFIX:
                self._discard(path, "it was never finished")
            elif path.suffix == PREFIX_SUFFIX:
                status = _status(path)
                if status is not None and stat.S_ISREG(status.st_mode):
                    times.append((status.st_mtime_ns, path))
                elif status is not None:
                    self._discard(path, "it is not a regular file")
        return [path for _, path in sorted(times, reverse=True)]

    def _usable(self, path: Path) -> FoundPrefix | None:
        try:
            head = read_head(path)
        except BadPrefixFileError as error:
            self._discard(path, str(error))
            return None
        except OSError as error:
            logger.warning("a prefix file cannot be read file=%s error=%s", path.name, error)
            return None
        prefix_id = self.id_of(head.tokens)
        if head.facts.identity != self.identity:
            self._discard(path, "it belongs to another model, context or version of llama.cpp")
        elif path != self.path(prefix_id):
            self._discard(path, "its name is not that of what it holds")
        else:
            return FoundPrefix(prefix_id, head)
        return None

    @staticmethod
    def _discard(path: Path, reason: str) -> None:
        logger.warning("a prefix file is not used and removed file=%s reason=%s", path.name, reason)
        _unlink(path)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError as error:
        logger.warning("a prefix file cannot be looked at file=%s error=%s", path.name, error)
        return None


def _unlink(path: Path) -> None:
    """Remove a file or a link, never what a link points to. A folder by that name stays."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("a prefix file could not be removed file=%s error=%s", path.name, error)
