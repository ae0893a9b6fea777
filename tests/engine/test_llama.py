"""The door to llama.cpp refuses in Python what would end the process inside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.engine.llama import LlamaError, Logits
from edge_agent.engine.llama_context import DecodeResult, LlamaContext
from edge_agent.engine.llama_model import LlamaModel


@pytest.fixture(scope="module")
def model(smollm2_path: Path) -> Iterator[LlamaModel]:
    model = LlamaModel(
        str(smollm2_path), num_gpu_layers=0, mmap=True, mlock=False, repack=True, on_progress=lambda _: None
    )
    yield model
    model.close()


def make_context(model: LlamaModel, *, num_sequence_ids: int = 4) -> LlamaContext:
    return LlamaContext(
        model,
        context_length=256,
        num_sequence_ids=num_sequence_ids,
        max_batch_tokens=32,
        max_outputs=2,
        kv_cache_type="q8_0",
        flash_attention=True,
        micro_batch_tokens=512,
        num_threads=1,
        num_threads_batch=1,
    )


@pytest.fixture
def context(model: LlamaModel) -> Iterator[LlamaContext]:
    context = make_context(model)
    yield context
    context.close()


def test_more_sequence_ids_than_llama_cpp_has_are_refused(model: LlamaModel) -> None:
    with pytest.raises(LlamaError, match="at most 255 are possible"):
        make_context(model, num_sequence_ids=256)


def test_a_sequence_id_that_was_not_asked_for_is_refused(context: LlamaContext) -> None:
    with pytest.raises(LlamaError, match=r"outside 0\.\.3"):
        context.add_rows(4, 0, [1], num_outputs=0)


def test_more_rows_than_a_batch_holds_are_refused(context: LlamaContext) -> None:
    context.clear_rows()
    with pytest.raises(LlamaError, match="33 rows in a batch of 32"):
        context.add_rows(0, 0, [1] * 33, num_outputs=0)


def test_more_outputs_than_were_reserved_are_refused(context: LlamaContext) -> None:
    context.clear_rows()
    for position in range(6):
        context.add_rows(0, position, [1], num_outputs=1)
    with pytest.raises(LlamaError, match="at most 5 allowed"):
        context.decode()


def test_a_full_cache_is_told_from_an_error(context: LlamaContext) -> None:
    for start in range(0, 256, 32):
        context.clear_rows()
        context.add_rows(0, start, [1] * 32, num_outputs=0)
        assert context.decode() is DecodeResult.DONE
    context.clear_rows()
    context.add_rows(1, 0, [1], num_outputs=1)
    assert context.decode() is DecodeResult.NO_ROOM


def test_a_gap_in_positions_is_an_error_and_no_abort(context: LlamaContext) -> None:
    context.clear_rows()
    context.add_rows(0, 0, [1], num_outputs=0)
    context.decode()
    context.clear_rows()
    context.add_rows(0, 7, [1], num_outputs=0)
    with pytest.raises(LlamaError, match="llama_decode failed"):
        context.decode()


def test_an_abort_that_was_asked_for_stops_the_decode_and_leaves_the_context_usable(context: LlamaContext) -> None:
    context.clear_rows()
    context.add_rows(0, 0, [1] * 32, num_outputs=0)
    context.request_abort()
    assert context.decode() is DecodeResult.ABORTED
    context.clear_abort()
    context.trim(0, 0)
    assert context.decode() is DecodeResult.DONE


def test_a_row_without_logits_has_none_to_read(context: LlamaContext) -> None:
    context.clear_rows()
    first = context.add_rows(0, 0, [1], num_outputs=0)
    last = context.add_rows(1, 0, [2], num_outputs=1)
    context.decode()
    assert context.logits(last).shape == (49152,)
    with pytest.raises(LlamaError, match="kept no logits"):
        context.logits(first)


def test_a_long_piece_is_read_whole(model: LlamaModel) -> None:
    lengths = [len(model.piece(token, special=True)) for token in range(model.num_tokens)]
    assert max(lengths) > 64
    with pytest.raises(ValueError, match="outside the vocabulary"):
        model.piece(model.num_tokens)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LlamaError, match="could not load"):
        LlamaModel(
            str(tmp_path / "none.gguf"),
            num_gpu_layers=0,
            mmap=True,
            mlock=False,
            repack=True,
            on_progress=lambda _: None,
        )


def decode_row(context: LlamaContext, seq_id: int, position: int, token: int) -> Logits:
    context.clear_rows()
    row = context.add_rows(seq_id, position, [token], num_outputs=1)
    assert context.decode() is DecodeResult.DONE
    return context.logits(row).copy()


def test_cells_that_were_saved_in_parts_loaded_and_shared_give_the_same_logits(context: LlamaContext) -> None:
    context.clear_rows()
    context.add_rows(0, 0, list(range(700, 724)), num_outputs=0)
    context.decode()
    first, second = context.save(0, 0, 10), context.save(0, 10, 24)
    expected = decode_row(context, 0, 24, 5)
    context.trim(0, 0)

    assert context.load(2, first)
    assert context.load(2, second)
    context.copy(2, 1, 24)

    assert (decode_row(context, 2, 24, 5) == expected).all()
    assert (decode_row(context, 1, 24, 5) == expected).all()


def test_damaged_state_is_not_taken_and_leaves_the_sequence_as_it_was(context: LlamaContext) -> None:
    assert not context.load(1, b"no state of this context")
    assert decode_row(context, 1, 0, 5).shape == (49152,)


def test_a_cell_of_the_small_model_takes_a_dozen_kilobytes(context: LlamaContext) -> None:
    # 30 layers, 192 numbers each for keys and values, 34 bytes for 32 of them: 12,240; and a little for positions.
    assert 12_240 <= context.bytes_a_cell() <= 12_500
