"""Networks written as ONNX files by the tests: some that see colours, some that answer the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dmnet_lib.core import files

COLOURS = ("red", "green", "blue")
TYPES = {"float32": 1, "float16": 10, "int64": 7}
PLAIN = np.dtype("float32")

# Just enough of ONNX's protobuf to write a network down: fields by number, as onnx.proto has them.


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, value: int | str | bytes | Sequence) -> bytes:
    """A field of a message; a list stands for one that is repeated."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, (list, tuple)):
        return b"".join(field(number, one) for one in value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor(name: str, values: np.ndarray) -> bytes:
    kind = field(2, TYPES[values.dtype.name])
    return field(1, list(values.shape)) + kind + field(8, name) + field(9, values.tobytes())


def node(kind: str, given: Sequence[str], gives: str, **attributes: int | list[int]) -> bytes:
    message = field(1, list(given)) + field(2, gives) + field(4, kind)
    for name, value in attributes.items():
        many = isinstance(value, list)
        number = field(8, value) + field(20, 7) if many else field(3, value) + field(20, 2)
        message += field(5, field(1, name) + number)
    return message


def value_info(name: str, shape: Sequence[int | str], dtype: np.dtype) -> bytes:
    sides = [field(1 if isinstance(side, int) else 2, side) for side in shape]
    kind = field(1, TYPES[dtype.name]) + field(2, field(1, sides))
    return field(1, name) + field(2, field(1, kind))


def model(nodes: list, tensors: list, given: list, gives: list, names: str | None = None) -> bytes:
    graph = field(1, nodes) + field(2, "g") + field(5, tensors) + field(11, given)
    graph += field(12, gives)
    about = [] if names is None else [field(1, "names") + field(2, names)]
    return field(1, 8) + field(7, graph) + field(8, field(2, 17)) + field(14, about)


def colours(
    path: Path,
    head: str = "yolox",
    *,
    shape: Sequence[int | str] = (1, 3, 64, 64),
    names: str | None = str(dict(enumerate(COLOURS))),
    dtype: np.dtype = PLAIN,
    bias: Sequence[float] = (),
) -> Path:
    """Write a detector that finds each cell, with the shares of red, green and blue as scores.

    Its convolutions count in the units and the order of channels that its head has. bias is added
    to the numbers of a cell.
    """
    relative = head == "yolox"
    leading = 5 if relative else 4
    nodes, tensors, levels = [], [], []
    for stride in (8, 16, 32):
        weight = np.zeros((leading + 3, 3, stride, stride), dtype)
        for k in range(3):
            weight[leading + k, 2 - k if relative else k] = (1 / 255 if relative else 1) / stride**2
        start = np.array([0.5, 0.5, 0, 0, 1, 0, 0, 0] if relative else np.zeros(7), dtype)
        start[: len(bias)] += np.array(bias, dtype)
        level = [f"{part}{stride}" for part in ("w", "b", "c", "r")]
        tensors += [tensor(level[0], weight), tensor(level[1], start)]
        nodes += [
            node("Conv", ["images", *level[:2]], level[2], strides=[stride, stride]),
            node("Reshape", [level[2], "flat"], level[3]),
        ]
        levels.append(level[3])
    tensors.append(tensor("flat", np.array([0, leading + 3, -1], np.int64)))
    nodes.append(node("Concat", levels, "cells", axis=2))
    if relative:
        nodes.append(node("Transpose", ["cells"], "output", perm=[0, 2, 1]))
    else:
        tensors.append(tensor("grid", grid(shape[3], shape[2]).astype(dtype)))
        nodes.append(node("Add", ["cells", "grid"], "output"))
    given = [value_info("images", shape, dtype)]
    return files.write_bytes(
        path, model(nodes, tensors, given, [value_info("output", "bcn", dtype)], names)
    )


def grid(width: int, height: int) -> np.ndarray:
    """The centres and sizes [1, 7, cells] of the cells, in pixels; no scores."""
    cells = [
        [(x + 0.5) * stride, (y + 0.5) * stride, stride, stride, 0, 0, 0]
        for stride in (8, 16, 32)
        for y in range(height // stride)
        for x in range(width // stride)
    ]
    return np.array(cells).T[None]


def answering(
    path: Path,
    *answers: np.ndarray,
    outputs: Sequence[str] = (),
    shape: Sequence[int | str] = (1, 3, 64, 64),
    names: str | None = str(list(COLOURS)),
) -> Path:
    """Write a network that has the same answers for whatever it is shown; outputs: their names."""
    outputs = outputs or [f"o{n}" for n in range(len(answers))]
    arrays = [a if a.dtype == np.int64 else a.astype(np.float32) for a in answers]
    tensors = [tensor(f"t_{name}", array) for name, array in zip(outputs, arrays, strict=True)]
    nodes = [node("Identity", [f"t_{name}"], name) for name in outputs]
    gives = [value_info(n, a.shape, a.dtype) for n, a in zip(outputs, arrays, strict=True)]
    given = [value_info("images", shape, PLAIN)]
    return files.write_bytes(path, model(nodes, tensors, given, gives, names))


def of_given_size(path: Path, arrays: Mapping[str, np.ndarray], shape: Sequence[int | str]) -> Path:
    """Write a network that is told sizes (width, height), and answers boxes in parts of them."""
    tensors = [tensor(f"t_{name}", array) for name, array in arrays.items()]
    nodes = [node("Identity", [f"t_{name}"], name) for name in arrays if name != "boxes"]
    nodes += [
        node("Cast", ["orig_target_sizes"], "sizes", to=1),
        node("Concat", ["sizes", "sizes"], "sides", axis=1),
        node("Mul", ["t_boxes", "sides"], "boxes"),
    ]
    given = [value_info("images", shape, PLAIN)]
    given.append(value_info("orig_target_sizes", (shape[0], 2), np.dtype("int64")))
    gives = [value_info(name, array.shape, array.dtype) for name, array in arrays.items()]
    return files.write_bytes(path, model(nodes, tensors, given, gives, str(list(COLOURS))))
