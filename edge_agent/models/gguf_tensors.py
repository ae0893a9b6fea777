"""A GGUF's table of tensors: names, shapes, types and offsets, checked against each other and the file's size.

No tensor data is read. Block sizes are those of ggml's type traits.
"""

from __future__ import annotations

from msgspec import Struct

from edge_agent.errors import ModelFileError
from edge_agent.models.gguf_metadata import read_name
from edge_agent.models.gguf_stream import GgufStream

MAX_TENSORS = 65536
# ggml keeps a name in 64 bytes, its end included.
MAX_NAME_BYTES = 63
MAX_DIMENSIONS = 4
MAX_ELEMENTS = 2**63 - 1
EMBEDDINGS_NAME = "token_embd.weight"
OUTPUT_NAME = "output.weight"


class TensorType(Struct, frozen=True):
    """`num_block_elements` elements of a row are kept in `num_block_bytes` bytes."""

    name: str
    num_block_elements: int
    num_block_bytes: int


# Weights only: ggml's integer, f64, q8_1 and q8_K types serve inside computations, and llama.cpp ends the process when
# it has to multiply by a tensor of one of them.
TENSOR_TYPES = {
    0: TensorType("f32", 1, 4),
    1: TensorType("f16", 1, 2),
    2: TensorType("q4_0", 32, 18),
    3: TensorType("q4_1", 32, 20),
    6: TensorType("q5_0", 32, 22),
    7: TensorType("q5_1", 32, 24),
    8: TensorType("q8_0", 32, 34),
    10: TensorType("q2_K", 256, 84),
    11: TensorType("q3_K", 256, 110),
    12: TensorType("q4_K", 256, 144),
    13: TensorType("q5_K", 256, 176),
    14: TensorType("q6_K", 256, 210),
    16: TensorType("iq2_xxs", 256, 66),
    17: TensorType("iq2_xs", 256, 74),
    18: TensorType("iq3_xxs", 256, 98),
    19: TensorType("iq1_s", 256, 50),
    20: TensorType("iq4_nl", 32, 18),
    21: TensorType("iq3_s", 256, 110),
    22: TensorType("iq2_s", 256, 82),
    23: TensorType("iq4_xs", 256, 136),
    29: TensorType("iq1_m", 256, 56),
    30: TensorType("bf16", 1, 2),
    34: TensorType("tq1_0", 256, 54),
    35: TensorType("tq2_0", 256, 66),
    39: TensorType("mxfp4", 32, 17),
    40: TensorType("nvfp4", 64, 36),
    41: TensorType("q1_0", 128, 18),
    42: TensorType("q2_0", 64, 18),
}


class TensorTable(Struct, frozen=True):
    """What the tensors add up to, and which type holds most of the elements.

    `matrix_bytes` has the bytes, by type, of the matrices that rows are multiplied by.
    """

    num_parameters: int
    main_type: str
    matrix_bytes: dict[str, int]


class _Tensor(Struct, frozen=True):
    name: str
    num_elements: int
    num_row_elements: int
    num_dimensions: int
    type_id: int
    offset: int

    @property
    def is_matrix(self) -> bool:
        return self.num_dimensions >= 2

    def num_bytes(self) -> int:
        tensor_type = TENSOR_TYPES.get(self.type_id)
        if tensor_type is None:
            raise ModelFileError(f"the tensor {self.name} has the type {self.type_id}, which cannot hold weights")
        if self.num_row_elements % tensor_type.num_block_elements:
            raise ModelFileError(
                f"the tensor {self.name} has rows of {self.num_row_elements} elements, "
                f"not whole blocks of {tensor_type.num_block_elements} ({tensor_type.name})"
            )
        return self.num_elements // tensor_type.num_block_elements * tensor_type.num_block_bytes


def read_tensors(stream: GgufStream, *, num_tensors: int, alignment: int) -> TensorTable:
    """Read the table and check that all its data lies within the file. Raises ModelFileError."""
    if not 1 <= num_tensors <= MAX_TENSORS:
        raise ModelFileError(f"{num_tensors} tensors are announced, 1 to {MAX_TENSORS} are allowed")
    end = 0
    names: set[str] = set()
    elements_by_type: dict[int, int] = {}
    matrices: list[_Tensor] = []
    for _ in range(num_tensors):
        tensor = _read_tensor(stream)
        if tensor.name in names:
            raise ModelFileError(f"the tensor {tensor.name} occurs twice")
        if tensor.offset != end:
            raise ModelFileError(f"the data of tensor {tensor.name} is said to start at {tensor.offset}, not at {end}")
        names.add(tensor.name)
        end = _aligned(end + tensor.num_bytes(), alignment)
        elements_by_type[tensor.type_id] = elements_by_type.get(tensor.type_id, 0) + tensor.num_elements
        if tensor.is_matrix:
            matrices.append(tensor)
        last_end = tensor.offset + tensor.num_bytes()
    _check_file_end(stream, _aligned(stream.position, alignment) + last_end)
    main_type_id = max(elements_by_type, key=lambda type_id: elements_by_type[type_id])
    return TensorTable(
        num_parameters=sum(elements_by_type.values()),
        main_type=TENSOR_TYPES[main_type_id].name,
        matrix_bytes=_matrix_bytes(matrices, has_output=OUTPUT_NAME in names),
    )


def _matrix_bytes(matrices: list[_Tensor], *, has_output: bool) -> dict[str, int]:
    """Token embeddings are only looked up, unless they serve as the output too."""
    num_bytes: dict[str, int] = {}
    for matrix in matrices:
        if matrix.name != EMBEDDINGS_NAME or not has_output:
            name = TENSOR_TYPES[matrix.type_id].name
            num_bytes[name] = num_bytes.get(name, 0) + matrix.num_bytes()
    return num_bytes


def _read_tensor(stream: GgufStream) -> _Tensor:
    name = read_name(stream, max_bytes=MAX_NAME_BYTES, what="tensor name")
    num_dimensions = stream.u32()
    if not 1 <= num_dimensions <= MAX_DIMENSIONS:
        raise ModelFileError(f"the tensor {name} has {num_dimensions} dimensions, 1 to {MAX_DIMENSIONS} are allowed")
    dimensions = [stream.u64() for _ in range(num_dimensions)]
    num_elements = 1
    for dimension in dimensions:
        num_elements *= dimension
    if not 1 <= num_elements <= MAX_ELEMENTS:
        raise ModelFileError(f"the tensor {name} has the impossible shape {dimensions}")
    return _Tensor(
        name=name,
        num_elements=num_elements,
        num_row_elements=dimensions[0],
        num_dimensions=num_dimensions,
        type_id=stream.u32(),
        offset=stream.u64(),
    )


def _check_file_end(stream: GgufStream, data_end: int) -> None:
    if data_end > stream.size_bytes:
        raise ModelFileError(
            f"the tensors end at byte {data_end}, the file already at byte {stream.size_bytes}: it is truncated"
        )


def _aligned(number: int, alignment: int) -> int:
    return -(-number // alignment) * alignment
