"""What a station refuses in an ONNX file before any runtime opens it.

A tensor of an ONNX file may name another file that holds its values, by any path. A bundle's hashes
do not cover that file, and a runtime would open whatever it is. So the file is read here as
protobuf messages, down to every tensor, without the package onnx.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

# A graph of ten thousand nodes has some hundred thousand fields.
MAX_FIELDS: Final = 600_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Messages inside messages, by field number, as onnx.proto numbers them.
_INSIDE: Final[dict[str, dict[int, str]]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor",
                  23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}  # fmt: skip
_GRAPH, _OP_TYPE, _EXTERNAL_DATA, _DATA_LOCATION = 7, 4, 13, 14
# An operator of ONNX Runtime that loads a compiled engine, also from a file that it names.
_LOADS_FILES: Final = b"EPContext"


def check_onnx(data: bytes) -> None:
    """Check that a file is an ONNX model whose values are all in the file itself.

    Raises:
        ValueError: in one line, for a file that is no ONNX model, or needs other files.
    """
    if not data:
        raise ValueError("expected an ONNX model, the file is empty")
    has_graph, count = False, 0
    pending = [("Model", 0, len(data))]
    while pending:
        message, start, end = pending.pop()
        inside = _INSIDE[message]
        for number, kind, first, last in _fields(data, start, end):
            count += 1
            if count > MAX_FIELDS:
                raise ValueError(f"expected an ONNX model of at most {MAX_FIELDS} fields")
            has_graph |= message == "Model" and number == _GRAPH
            if kind == _BYTES and number in inside:
                pending.append((inside[number], first, last))
            elif message == "Tensor" and _is_elsewhere(number, kind, data, first, last):
                raise ValueError(
                    "expected all values inside the ONNX file, a tensor names another file "
                    "(external data); save the model in one file"
                )
            elif message == "Node" and number == _OP_TYPE and data[first:last] == _LOADS_FILES:
                raise ValueError("expected an ONNX graph, found a node that loads an engine file")
    if not has_graph:
        raise ValueError("expected an ONNX model, found no graph")


def _is_elsewhere(number: int, kind: int, data: bytes, first: int, last: int) -> bool:
    if number == _EXTERNAL_DATA:
        return True
    return number == _DATA_LOCATION and (kind != _VARINT or _varint(data, first, last)[0] != 0)


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type and the place of the value of each field of a message."""
    position = start
    while position < end:
        tag, position = _varint(data, position, end)
        number, kind = tag >> 3, tag & 7
        first = position
        if kind == _VARINT:
            _, position = _varint(data, position, end)
        elif kind == _FIXED64:
            position += 8
        elif kind == _FIXED32:
            position += 4
        elif kind == _BYTES:
            length, first = _varint(data, position, end)
            position = first + length
        else:
            raise ValueError("not an ONNX model: a field of an unknown kind")
        if position > end or number == 0:
            raise ValueError("not an ONNX model: it is cut short or damaged")
        yield number, kind, first, position


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Return a number of seven bits per byte, lowest first, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("not an ONNX model: it is cut short or damaged")
