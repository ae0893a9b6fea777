"""What a GGUF says about itself is read rightly, and what would bring llama.cpp down is refused."""

from __future__ import annotations

import contextlib
import os
import random
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.errors import ModelFileError
from edge_agent.models.gguf_header import GgufHeader, read_header
from tests.models.gguf_builder import (
    Tensor,
    Value,
    array,
    build_gguf,
    f32,
    flag,
    i32,
    length_prefixed,
    string,
    strings,
    u16,
    u32,
    u32_array,
)


def header_of(folder: Path, data: bytes) -> GgufHeader:
    path = folder / "model.gguf"
    path.write_bytes(data)
    return read_header(path)


def refusal_of(folder: Path, data: bytes) -> str:
    with pytest.raises(ModelFileError) as refused:
        header_of(folder, data)
    return str(refused.value)


def test_a_small_model_is_described_by_its_header(tmp_path: Path) -> None:
    data = build_gguf()
    assert header_of(tmp_path, data) == GgufHeader(
        version=3,
        architecture="llama",
        name="Tiny Test",
        quantization="Q4_K_M",
        num_parameters=384,
        size_bytes=len(data),
        trained_context_length=512,
        num_layers=2,
        embedding_length=64,
        num_heads=4,
        num_kv_heads=2,
        key_length=16,
        value_length=16,
        vocabulary_size=6,
        has_chat_template=True,
        sliding_window=None,
        full_attention_layers=None,
        feed_forward_length=128,
        num_used_experts=0,
        # The embeddings of 6 tokens, which are the output too.
        matrix_bytes={"f32": 1536},
    )


def test_the_real_model_is_described_by_its_header(smollm2_path: Path) -> None:
    header = read_header(smollm2_path)
    assert (header.architecture, header.quantization) == ("llama", "Q4_1")
    assert (header.num_parameters, header.size_bytes) == (134515008, 98362432)
    assert (header.num_layers, header.embedding_length, header.vocabulary_size) == (30, 576, 49152)
    assert (header.num_heads, header.num_kv_heads, header.key_length, header.value_length) == (9, 3, 64, 64)
    assert (header.trained_context_length, header.has_chat_template, header.sliding_window) == (8192, True, None)


def test_the_data_of_the_real_model_is_not_read(smollm2_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model.gguf"
    with smollm2_path.open("rb") as file:
        copy.write_bytes(file.read(2 * 1024 * 1024))
    os.truncate(copy, 98362432)
    assert read_header(copy) == read_header(smollm2_path)


def test_layers_may_differ_in_their_heads(tmp_path: Path) -> None:
    changes: dict[str, Value | None] = {
        "llama.attention.head_count": u32_array([4, 4]),
        "llama.attention.head_count_kv": u32_array([2, 1]),
    }
    header = header_of(tmp_path, build_gguf(changes))
    assert (header.num_heads, header.num_kv_heads, header.key_length) == ([4, 4], [2, 1], 16)
    assert header.shape.num_kv_elements_per_cell == 96


def test_stated_head_lengths_and_window_win_over_defaults(tmp_path: Path) -> None:
    changes: dict[str, Value | None] = {
        "llama.attention.key_length": u32(32),
        "llama.attention.value_length": u32(24),
        "llama.attention.sliding_window": u32(128),
        "tokenizer.chat_template": None,
        "general.file_type": None,
    }
    header = header_of(tmp_path, build_gguf(changes))
    assert (header.key_length, header.value_length, header.sliding_window) == (32, 24, 128)
    assert (header.has_chat_template, header.quantization) == (False, "F32")


def test_experts_that_a_token_uses_add_up_to_one_width(tmp_path: Path) -> None:
    changes: dict[str, Value | None] = {
        "llama.expert_count": u32(8),
        "llama.expert_used_count": u32(2),
        "llama.expert_feed_forward_length": u32(96),
        "llama.expert_shared_feed_forward_length": u32(10),
    }
    header = header_of(tmp_path, build_gguf(changes))
    assert (header.feed_forward_length, header.num_used_experts) == (202, 2)


def test_the_widest_layer_counts(tmp_path: Path) -> None:
    header = header_of(tmp_path, build_gguf({"llama.feed_forward_length": u32_array([128, 512])}))
    assert header.feed_forward_length == 512


def test_matrices_are_added_up_by_type_and_embeddings_count_only_as_the_output(tmp_path: Path) -> None:
    norm = Tensor(name="output_norm.weight", dimensions=(64,), num_bytes=256)
    query = Tensor(name="blk.0.attn_q.weight", dimensions=(64, 64), type_id=8, num_bytes=64 * 68)
    output = Tensor(name="output.weight", dimensions=(64, 6), type_id=1, num_bytes=768)
    untied = header_of(tmp_path, build_gguf(tensors=(Tensor(), norm, query, output)))
    assert untied.matrix_bytes == {"q8_0": 4352, "f16": 768}
    tied = header_of(tmp_path, build_gguf(tensors=(Tensor(), norm, query)))
    assert tied.matrix_bytes == {"f32": 1536, "q8_0": 4352}


def test_a_name_with_control_characters_is_made_fit_for_a_log_line(tmp_path: Path) -> None:
    header = header_of(tmp_path, build_gguf({"general.name": string(b"a\nb\x1b[31m\xff" + b"x" * 500)}))
    assert header.name == "a b [31m\ufffd" + "x" * 191


def test_every_key_value_type_is_read(tmp_path: Path) -> None:
    scalars: dict[str, Value | None] = {
        f"test.{type_id}": Value(type_id, bytes(size))
        for type_id, size in ((0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 4), (7, 1), (10, 8), (11, 8), (12, 8))
    }
    arrays: dict[str, Value | None] = {
        "test.long": array(12, 1000, bytes(8000)),
        "test.short": array(7, 3, b"\0\1\0"),
        "test.empty": array(8, 0, b""),
    }
    assert header_of(tmp_path, build_gguf({**scalars, **arrays})).num_layers == 2


def test_another_alignment_is_followed(tmp_path: Path) -> None:
    tensors = (Tensor(num_bytes=1536), Tensor(name="output_norm.weight", dimensions=(64,), num_bytes=256))
    data = build_gguf({"general.alignment": u32(128)}, tensors=tensors, alignment=128)
    assert header_of(tmp_path, data).num_parameters == 448


SPM_TOKENS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]


def test_a_tokenizer_with_all_byte_tokens_is_taken(tmp_path: Path) -> None:
    changes: dict[str, Value | None] = {
        "tokenizer.ggml.model": string("llama"),
        "tokenizer.ggml.tokens": strings(SPM_TOKENS),
    }
    assert header_of(tmp_path, build_gguf(changes)).vocabulary_size == 259


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "does not start as a GGUF"),
        (b"<!DOCTYPE html><html>not here</html>", "does not start as a GGUF"),
        (build_gguf(magic=b"GGML"), "does not start as a GGUF"),
        (build_gguf(version=1), "GGUF version 1"),
        (build_gguf(version=0x03000000), "GGUF version 50331648"),
        (build_gguf(num_pairs=2**62), "4611686018427387904 metadata keys"),
        (build_gguf(num_pairs=65537), "65537 metadata keys"),
        (build_gguf(num_pairs=40), "a string of 1688849860263936 bytes"),
        (build_gguf(num_tensors=65537), "65537 tensors"),
        (build_gguf(num_tensors=0), "0 tensors"),
        (build_gguf(num_tensors=2), "tensor name '' is empty"),
        (build_gguf({"k" * 70000: u32(1)}), "a string of 70000 bytes"),
        (build_gguf({"": u32(1)}), "metadata key '' is empty or not printable"),
        (build_gguf({"llama.block_count\0x": u32(1)}), "not printable ASCII"),
        (build_gguf({"general.clé": u32(1)}), "not printable ASCII"),
        (build_gguf({"x": Value(13, b"")}), "the metadata key x has the unknown type 13"),
        (build_gguf({"x": Value(8, struct.pack("<Q", 2**63))}), "a string of 9223372036854775808 bytes"),
        (build_gguf({"x": array(9, 1, b"")}), "array of the unsupported type 9"),
        (build_gguf({"x": array(0, 2**62, b"")}), "announces 4611686018427387904 elements"),
        (build_gguf({"x": array(8, 2**62, b"")}), "announces 4611686018427387904 strings"),
        (build_gguf({"x": array(8, 4 * 1024 * 1024, b"")}), "more than any model needs"),
        (
            build_gguf(extra_pairs=length_prefixed("llama.block_count") + struct.pack("<II", 4, 3), num_pairs=18),
            "llama.block_count occurs twice",
        ),
    ],
)
def test_a_broken_structure_is_refused_with_its_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    message = refusal_of(tmp_path, data)
    assert reason in message
    assert message.startswith(f"{tmp_path}/model.gguf cannot be used as a model: ")
    assert message.endswith("Fetch the file again, or use another one.")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"general.architecture": None}, "general.architecture is missing"),
        ({"general.architecture": u32(1)}, "general.architecture is not a string"),
        ({"general.architecture": string("LLaMA/../x")}, "not the name of an architecture"),
        ({"llama.block_count": None}, "llama.block_count is missing"),
        ({"llama.block_count": u32(0)}, "llama.block_count is 0"),
        ({"llama.block_count": u32(513)}, "513 layers, at most 512"),
        ({"llama.block_count": f32(2.0)}, "llama.block_count is not an integer"),
        ({"llama.block_count": flag(True)}, "llama.block_count is not an integer"),
        ({"llama.context_length": None}, "llama.context_length is missing"),
        ({"llama.context_length": u32(0)}, "llama.context_length is 0"),
        ({"llama.context_length": i32(-1)}, "llama.context_length is -1"),
        ({"llama.embedding_length": u32(2**21)}, "2097152 elements"),
        ({"llama.attention.head_count_kv": u32(3)}, "4 attention heads cannot share 3"),
        ({"llama.attention.head_count_kv": u32_array([2])}, "1 numbers for 2 layers"),
        ({"llama.attention.head_count_kv": array(6, 2, bytes(8))}, "not integers"),
        ({"llama.attention.key_length": u32(70000)}, "a head has 70000 elements"),
        ({"llama.nextn_predict_layers": u32(3)}, "3 of its 2 layers"),
        ({"llama.expert_count": u32(2000)}, "0 of 2000 experts"),
        ({"llama.expert_count": u32(8)}, "0 of 8 experts"),
        ({"llama.expert_used_count": u32(2)}, "2 of 0 experts"),
        ({"llama.expert_group_count": u32(2)}, "0 experts are said to stand in 2 groups"),
        ({"llama.rope.scaling.type": string("wild")}, "rope scaling type 'wild' is unknown"),
        ({"general.alignment": u32(0)}, "not a power of two"),
        ({"general.alignment": u32(48)}, "not a power of two"),
        ({"general.alignment": u32(2**30)}, "not a power of two"),
        ({"general.alignment": i32(32)}, "not a power of two"),
        ({"split.count": u16(3)}, "one of 3 parts"),
        ({"tokenizer.ggml.model": None}, "tokenizer.ggml.model is missing"),
        ({"tokenizer.ggml.model": string("none")}, "no tokenizer"),
        ({"tokenizer.ggml.tokens": None}, "tokenizer.ggml.tokens is missing"),
        ({"tokenizer.ggml.tokens": u32_array([1])}, "not a list of strings"),
        ({"tokenizer.ggml.tokens": strings(list[str]())}, "the vocabulary has 0 tokens"),
        ({"tokenizer.ggml.tokens": strings(["a", "b", "a"])}, "token 2 of the vocabulary occurs twice"),
        ({"tokenizer.ggml.tokens": strings(["[EMPTY_1]", ""])}, "token 1 of the vocabulary occurs twice"),
        ({"tokenizer.ggml.tokens": strings(["a\0b", "a"])}, "token 0 of the vocabulary contains a NUL"),
        ({"tokenizer.ggml.tokens": strings(["x" * 70000])}, "a string of 70000 bytes"),
        (
            {"tokenizer.ggml.model": string("llama"), "tokenizer.ggml.tokens": strings(SPM_TOKENS[:-1])},
            "255 of the 256 byte tokens",
        ),
        ({"tokenizer.ggml.add_bos_token": flag(True), "tokenizer.ggml.bos_token_id": u32(6)}, "bos token is 6"),
        ({"tokenizer.ggml.add_bos_token": u32(1)}, "not true or false"),
        ({"tokenizer.chat_template": u32(1)}, "tokenizer.chat_template is not a string"),
    ],
)
def test_metadata_that_llama_cpp_would_end_on_is_refused(
    tmp_path: Path, changes: dict[str, Value | None], reason: str
) -> None:
    assert reason in refusal_of(tmp_path, build_gguf(changes))


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (Tensor(name=""), "is empty or not printable"),
        (Tensor(name="x" * 64), "a string of 64 bytes"),
        (Tensor(dimensions=()), "has 0 dimensions"),
        (Tensor(dimensions=(1, 1, 1, 1, 1)), "has 5 dimensions"),
        (Tensor(dimensions=(64, 0)), "impossible shape [64, 0]"),
        (Tensor(dimensions=(2**40, 2**40)), "impossible shape"),
        (Tensor(type_id=4), "has the type 4, which cannot hold weights"),
        (Tensor(type_id=26), "has the type 26, which cannot hold weights"),
        (Tensor(type_id=99), "has the type 99, which cannot hold weights"),
        (Tensor(type_id=12), "rows of 64 elements, not whole blocks of 256 (q4_K)"),
        (Tensor(offset=32), "is said to start at 32, not at 0"),
        (Tensor(dimensions=(64, 7)), "truncated"),
        (Tensor(dimensions=(2**32, 2**30)), "truncated"),
    ],
)
def test_a_tensor_that_is_not_in_the_file_is_refused(tmp_path: Path, tensor: Tensor, reason: str) -> None:
    assert reason in refusal_of(tmp_path, build_gguf(tensors=(tensor,)))


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "token_embd.weight occurs twice" in refusal_of(tmp_path, build_gguf(tensors=(Tensor(), Tensor())))


def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    data = build_gguf()
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    for num_bytes in range(len(data) - 1, -1, -1):
        os.truncate(path, num_bytes)
        with pytest.raises(ModelFileError):
            read_header(path)


def test_a_file_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for path, reason in (
        (tmp_path / "absent.gguf", "No such file"),
        (tmp_path, "Is a directory"),
        (tmp_path / "pipe.gguf", "not a regular file"),
        (Path("nul\0byte"), "embedded null byte"),
    ):
        with pytest.raises(ModelFileError, match=reason):
            read_header(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.integers(0, 50),
)
def test_random_damage_is_answered_by_a_header_or_a_refusal(
    tmp_path: Path, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(build_gguf())
    for position, byte in changes:
        data[position % (len(data) - 1536)] = byte
    path = tmp_path / "model.gguf"
    path.write_bytes(data[: len(data) - cut])
    with contextlib.suppress(ModelFileError):
        assert read_header(path).num_layers in range(1, 513)


def test_random_eight_byte_numbers_anywhere_never_hang_the_reader(tmp_path: Path) -> None:
    good = build_gguf()
    path = tmp_path / "model.gguf"
    numbers = [2**64 - 1, 2**63, 2**62, 2**40, 2**32, 4 * 1024 * 1024, 65536]
    random_source = random.Random(5)
    num_refused = 0
    for _ in range(200):
        data = bytearray(good)
        position = random_source.randrange(8, len(good) - 1536 - 8)
        data[position : position + 8] = struct.pack("<Q", random_source.choice(numbers))
        path.write_bytes(data)
        try:
            read_header(path)
        except ModelFileError:
            num_refused += 1
    assert num_refused > 100
