"""The header of a GGUF file: what the model is, and that nothing known to bring llama.cpp down stands in it.

A GGUF is untrusted input and llama.cpp ends its process on some of them, so a file is read here first. Only the header
is read, once, with limits; tensor data never. Runs on any thread; a good file takes well under a second.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from edge_agent.errors import ModelFileError
from edge_agent.models.gguf_attention import full_attention_layers, sliding_window
from edge_agent.models.gguf_checks import check_model, chosen_alignment
from edge_agent.models.gguf_fields import MAX_INTEGER, GgufFields
from edge_agent.models.gguf_metadata import read_metadata
from edge_agent.models.gguf_stream import GgufStream
from edge_agent.models.gguf_tensors import TensorTable, read_tensors
from edge_agent.models.shape import ModelShape

MAGIC = b"GGUF"
SUPPORTED_VERSIONS = (2, 3)
# Bytes of magic, version and the two counts.
PREAMBLE_BYTES = 24
# 1 MiB: a header of several megabytes in few system calls.
BUFFER_BYTES = 1024 * 1024
MAX_DISPLAY_NAME_CHARACTERS = 200

# llama.cpp's llama_ftype by the names that file names use.
FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}


class GgufHeader(Struct, frozen=True, kw_only=True):
    """What a GGUF says about itself; lengths in tokens, widths in elements, `sliding_window` None where there is none.

    `num_heads` and `num_kv_heads` hold one number a layer where layers differ; `full_attention_layers` is None where
    all of them look back on all tokens. `matrix_bytes` are the bytes of what rows are multiplied by, by tensor type.
    """

    version: int
    architecture: str
    name: str
    quantization: str
    num_parameters: int
    size_bytes: int
    trained_context_length: int
    num_layers: int
    embedding_length: int
    num_heads: int | list[int]
    num_kv_heads: int | list[int]
    key_length: int
    value_length: int
    vocabulary_size: int
    has_chat_template: bool
    sliding_window: int | None
    full_attention_layers: list[int] | None
    feed_forward_length: int
    num_used_experts: int
    matrix_bytes: dict[str, int]

    @property
    def shape(self) -> ModelShape:
        """What the memory estimate needs."""
        return ModelShape(
            num_layers=self.num_layers,
            embedding_length=self.embedding_length,
            num_kv_heads=self.num_kv_heads,
            key_length=self.key_length,
            value_length=self.value_length,
            vocabulary_size=self.vocabulary_size,
            trained_context_length=self.trained_context_length,
            num_heads=self.num_heads,
            feed_forward_length=self.feed_forward_length,
            num_used_experts=self.num_used_experts,
            sliding_window=self.sliding_window or 0,
            full_attention_layers=self.full_attention_layers,
        )


def read_header(path: Path) -> GgufHeader:
    """Read and check the header of the file. Raises ModelFileError for anything that llama.cpp must not be given."""
    try:
        with _open_regular(path) as file:
            return _read(GgufStream(file, size_bytes=os.fstat(file.fileno()).st_size))
    except ModelFileError as error:
        raise ModelFileError(
            f"{path} cannot be used as a model: {error}. Fetch the file again, or use another one."
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelFileError(f"{path} cannot be read: {reason}. Check that the path is right and readable.") from error


def _open_regular(path: Path) -> BinaryIO:
    """Open without ever waiting for the other end of a named pipe."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=BUFFER_BYTES)
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise ModelFileError("it is not a regular file")


def _read(stream: GgufStream) -> GgufHeader:
    if stream.size_bytes < PREAMBLE_BYTES or stream.take(len(MAGIC)) != MAGIC:
        raise ModelFileError("it does not start as a GGUF file does (web pages and archives are often saved instead)")
    version = stream.u32()
    if version not in SUPPORTED_VERSIONS:
        raise ModelFileError(f"it has GGUF version {version}, and only little-endian versions 2 and 3 are known here")
    num_tensors = stream.u64()
    fields = GgufFields(read_metadata(stream, num_pairs=stream.u64()))
    check_model(fields)
    tensors = read_tensors(stream, num_tensors=num_tensors, alignment=chosen_alignment(fields))
    return _header(fields, tensors, version=version, size_bytes=stream.size_bytes)


def _header(fields: GgufFields, tensors: TensorTable, *, version: int, size_bytes: int) -> GgufHeader:
    head_length = fields.default_head_length
    return GgufHeader(
        version=version,
        architecture=fields.architecture,
        name=_display_name(fields),
        quantization=FILE_TYPES.get(fields.integer("general.file_type", default=-1), tensors.main_type.upper()),
        num_parameters=tensors.num_parameters,
        size_bytes=size_bytes,
        trained_context_length=fields.model_integer("context_length"),
        num_layers=fields.num_layers,
        embedding_length=fields.model_integer("embedding_length"),
        num_heads=fields.num_heads,
        num_kv_heads=fields.num_kv_heads,
        key_length=fields.model_integer("attention.key_length", default=head_length),
        value_length=fields.model_integer("attention.value_length", default=head_length),
        vocabulary_size=fields.vocabulary.size,
        has_chat_template=bool(fields.text("tokenizer.chat_template", default="")),
        sliding_window=sliding_window(fields) or None,
        full_attention_layers=full_attention_layers(fields),
        feed_forward_length=_feed_forward_length(fields),
        num_used_experts=_most(fields.model_numbers("expert_used_count", default=0)),
        matrix_bytes=tensors.matrix_bytes,
    )


def _feed_forward_length(fields: GgufFields) -> int:
    """The widest layer's; that of a layer of experts is the sum over those that one token uses."""
    dense = _most(fields.model_numbers("feed_forward_length", default=0))
    expert = _most(fields.model_numbers("expert_feed_forward_length", default=dense))
    shared = _most(fields.model_numbers("expert_shared_feed_forward_length", default=0))
    num_used = _most(fields.model_numbers("expert_used_count", default=0))
    return min(max(dense, num_used * expert + shared), MAX_INTEGER)


def _most(numbers: int | list[int]) -> int:
    return max(numbers, default=0) if isinstance(numbers, list) else numbers


def _display_name(fields: GgufFields) -> str:
    """The model's own name, fit for a log line."""
    name = fields.text("general.name", default=fields.architecture)[:MAX_DISPLAY_NAME_CHARACTERS]
    return "".join(character if character.isprintable() else " " for character in name).strip()
