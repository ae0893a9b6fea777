"""What tuning found, kept as one JSON file a model and machine in `state_dir/tuning`.

A file that is damaged, too large or of another key counts as absent: then the machine is measured again.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge_agent.errors import ModelError
from edge_agent.models.atomic_file import write_atomically
from edge_agent.tuned_settings import TunedSettings
from edge_agent.tuning.search import Preference, Search, Trial

logger = logging.getLogger(__name__)

# 64 KiB: ten times a record with all its trials.
MAX_RECORD_BYTES = 64 * 1024
# Limits of the configuration: what no user could set is not taken out of a file either.
MAX_THREADS = 512
MAX_MICRO_BATCH_TOKENS = 8192
Text = Annotated[str, Meta(max_length=4000)]


class TuningKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a choice holds for."""

    model_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    cpu: Text
    num_cpus: int
    llama_cpp_version: Text
    prefer: Preference


class TuningRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A finished search: the choice, what it was compared with, and why."""

    format: Literal[1] = 1
    key: TuningKey
    settings: TunedSettings
    why: Text
    trials: Annotated[list[Trial], Meta(max_length=100)]


def make_record(key: TuningKey, search: Search) -> TuningRecord:
    """The record of a search that is over."""
    return TuningRecord(key=key, settings=search.best, why=search.explain(), trials=list(search.trials))


class TuningRecords:
    """The folder of records."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: TuningKey) -> TuningRecord | None:
        """The record for this key, if there is a usable one."""
        path = self.path(key)
        try:
            with path.open("rb") as file:
                content = file.read(MAX_RECORD_BYTES + 1)
            return _decode(content, key)
        except FileNotFoundError:
            logger.debug("nothing is tuned yet file=%s", path)
        except (OSError, ValueError, RecursionError) as error:
            logger.warning(
                "a tuning record cannot be used, the model will be tuned again file=%s error=%s", path, error
            )
        return None

    def write(self, record: TuningRecord) -> Path:
        """Keep the record, in place of an older one. Raises ModelError if the folder cannot be written."""
        path = self.path(record.key)
        content = msgspec.json.format(msgspec.json.encode(record))
        if len(content) > MAX_RECORD_BYTES:
            raise ModelError(f"the tuning record has {len(content)} bytes and not at most {MAX_RECORD_BYTES}")
        try:
            write_atomically(path, content)
        except OSError as error:
            raise ModelError(f"{path} cannot be written: {error.strerror}; check the folder's owner") from error
        return path

    def path(self, key: TuningKey) -> Path:
        """Where the record for this key is."""
        return self._folder / f"{hashlib.sha256(msgspec.json.encode(key)).hexdigest()[:16]}.json"


def _decode(content: bytes, key: TuningKey) -> TuningRecord:
    """Raises ValueError; msgspec's errors are such."""
    if len(content) > MAX_RECORD_BYTES:
        raise ValueError(f"more than {MAX_RECORD_BYTES} bytes")
    record = msgspec.json.decode(content, type=TuningRecord)
    if record.key != key:
        raise ValueError("it is of another model, CPU or version")
    _check_plausible(record.settings)
    return record


def _check_plausible(settings: TunedSettings) -> None:
    if settings.kv_cache_type not in {"f16", "q8_0"}:
        raise ValueError("there is no such KV cache type")
    if settings.kv_cache_type == "q8_0" and not settings.flash_attention:
        raise ValueError("a q8_0 cache needs flash attention")
    if not all(1 <= number <= MAX_THREADS for number in (settings.num_threads, settings.num_threads_batch)):
        raise ValueError("a number of threads is out of range")
    if not 1 <= settings.micro_batch_tokens <= MAX_MICRO_BATCH_TOKENS:
        raise ValueError("the micro batch is out of range")
