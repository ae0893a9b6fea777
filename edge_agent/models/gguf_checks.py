"""What must hold in a GGUF's metadata so that llama.cpp does not end its process: a rule for each of its assertions.

Pure; the reader calls it between metadata and tensors.
"""

from __future__ import annotations

from edge_agent.errors import ModelFileError
from edge_agent.models.gguf_fields import GgufFields
from edge_agent.models.gguf_metadata import ALIGNMENT_KEY, NUM_BYTES, Unsigned32

DEFAULT_ALIGNMENT = 32
# Less would misalign numbers, and more than a page of the largest pages in use helps nobody.
MIN_ALIGNMENT = 8
MAX_ALIGNMENT = 64 * 1024
MAX_EXPERTS = 1024
MAX_EMBEDDING_LENGTH = 2**20
MAX_HEAD_LENGTH = 65536
ROPE_SCALING_TYPES = frozenset({"none", "linear", "yarn", "longrope"})
# Tokenizers that spell an unknown character byte by byte and end the process where such a token is missing.
BYTE_FALLBACK_TOKENIZERS = frozenset({"llama", "plamo2"})
# Tokenizers that cannot turn text into tokens at all; asked to, they end the process.
NO_TOKENIZERS = frozenset({"none", "no_vocab"})


def check_model(fields: GgufFields) -> None:
    """Raise ModelFileError for the first rule that does not hold."""
    _check_single_file(fields)
    _check_widths(fields)
    _check_heads(fields)
    _check_experts(fields)
    _check_rope(fields)
    _check_tokenizer(fields)


def chosen_alignment(fields: GgufFields) -> int:
    """To how many bytes tensor data is aligned."""
    value = fields.get(ALIGNMENT_KEY)
    if value is None:
        return DEFAULT_ALIGNMENT
    if not isinstance(value, Unsigned32) or not MIN_ALIGNMENT <= value <= MAX_ALIGNMENT or value & (value - 1):
        raise ModelFileError(
            f"the metadata key {ALIGNMENT_KEY} is not a power of two from {MIN_ALIGNMENT} to {MAX_ALIGNMENT}"
        )
    return int(value)


def _check_single_file(fields: GgufFields) -> None:
    num_parts = fields.integer("split.count", default=1)
    if num_parts > 1:
        raise ModelFileError(
            f"it is one of {num_parts} parts of a model; join them with llama-gguf-split --merge first"
        )


def _check_widths(fields: GgufFields) -> None:
    num_layers = fields.num_layers
    fields.model_integer("context_length", lowest=1)
    embedding_length = fields.model_integer("embedding_length", lowest=1)
    if embedding_length > MAX_EMBEDDING_LENGTH:
        raise ModelFileError(
            f"the embedding has {embedding_length} elements, at most {MAX_EMBEDDING_LENGTH} are possible"
        )
    num_draft_layers = fields.model_integer("nextn_predict_layers", default=0)
    if num_draft_layers > num_layers:
        raise ModelFileError(f"{num_draft_layers} of its {num_layers} layers are said to predict further tokens")


def _check_heads(fields: GgufFields) -> None:
    for name in ("attention.key_length", "attention.value_length"):
        length = fields.model_integer(name, default=fields.default_head_length)
        if length > MAX_HEAD_LENGTH:
            raise ModelFileError(f"a head has {length} elements ({name}), at most {MAX_HEAD_LENGTH} are possible")
    heads, kv_heads = _by_layer(fields.num_heads, fields), _by_layer(fields.num_kv_heads, fields)
    for num_heads, num_kv_heads in zip(heads, kv_heads, strict=True):
        if num_kv_heads and num_heads % num_kv_heads:
            raise ModelFileError(f"{num_heads} attention heads cannot share {num_kv_heads} key-value heads evenly")


def _by_layer(numbers: int | list[int], fields: GgufFields) -> list[int]:
    return numbers if isinstance(numbers, list) else [numbers] * fields.num_layers


def _check_experts(fields: GgufFields) -> None:
    num_experts = fields.model_integer("expert_count", default=0)
    num_used = max(_by_layer(fields.model_numbers("expert_used_count", default=0), fields))
    num_groups = fields.model_integer("expert_group_count", default=0)
    num_used_groups = fields.model_integer("expert_group_used_count", default=0)
    if num_experts <= 1 and fields.architecture.startswith("hunyuan"):
        return
    if num_experts > MAX_EXPERTS or num_used > num_experts or (num_experts > 0 and num_used == 0):
        raise ModelFileError(f"{num_used} of {num_experts} experts are said to be used")
    are_groups_impossible = num_groups > 1 and (num_experts % num_groups or not 0 < num_used_groups < num_groups)
    if num_groups > max(0, num_experts - 1) or are_groups_impossible:
        raise ModelFileError(f"{num_experts} experts are said to stand in {num_groups} groups")


def _check_rope(fields: GgufFields) -> None:
    scaling = fields.model_text("rope.scaling.type", default="linear")
    if scaling not in ROPE_SCALING_TYPES:
        raise ModelFileError(f"the rope scaling type {scaling[:32]!a} is unknown")


def _check_tokenizer(fields: GgufFields) -> None:
    tokenizer = fields.text("tokenizer.ggml.model")
    vocabulary = fields.vocabulary
    if tokenizer in NO_TOKENIZERS:
        raise ModelFileError("it has no tokenizer, so it cannot be given text")
    if tokenizer in BYTE_FALLBACK_TOKENIZERS and vocabulary.num_byte_tokens < NUM_BYTES:
        raise ModelFileError(
            f"its tokenizer has {vocabulary.num_byte_tokens} of the {NUM_BYTES} byte tokens <0x00>…<0xFF>"
        )
    for token, flag in (("bos", "add_bos_token"), ("eos", "add_eos_token")):
        # Without a valid one llama.cpp takes its tokenizer's default, which a small vocabulary may not have.
        token_id = fields.integer(f"tokenizer.ggml.{token}_token_id", default=0)
        if fields.is_set(f"tokenizer.ggml.{flag}") and token_id >= vocabulary.size:
            raise ModelFileError(f"its {token} token is {token_id}, outside of its {vocabulary.size} tokens")
