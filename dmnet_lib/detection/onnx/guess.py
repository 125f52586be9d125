"""What a network answers for a grey image -> the head that it has, or why it has none."""

from collections.abc import Mapping, Sequence

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.classes import listed
from dmnet_lib.core.files import InputError, nearest
from dmnet_lib.detection.onnx.head import Arrays, Head, Size, matched
from dmnet_lib.detection.onnx.heads import HEADS
from dmnet_lib.detection.onnx.network import Network
from dmnet_lib.detection.onnx.pixels import Pixels

ANY_WH = (320, 256)  # what a network of any size is tried with; transformers need many cells
MOST_CLASSES, MORE = 1000, (0, 1, 4, 5, 32)  # of other names: how many, and numbers beside them
REMEDY = "ultralytics exports what can be read with end2end=False, nms=False"
Shapes = Mapping[str, tuple[int, ...]]  # of the network's outputs


def head(
    network: Network, names: Sequence[str], text: str = ""
) -> tuple[Head, Pixels, tuple[str, ...], bool]:
    """Return the head of a network, how it takes pixels, and the names of the head's outputs.

    Also whether several views may go through it at once. Heads whose outputs have the names that
    they should have go first, then by shapes alone. text is "" or says the head, and words on
    pixels: "yolov8, BGR, 0..255". Raises InputError.
    """
    wanted, *words = (word.strip() for word in text.split(","))
    if wanted and wanted not in HEADS:
        hint = nearest(wanted, HEADS) or f"; there are {', '.join(HEADS)}"
        raise InputError(f"{wanted!r} is no head of a detector{hint}")
    heads = [HEADS[wanted]] if wanted else [*HEADS.values()]
    size_wh, faults = network.input_wh or ANY_WH, []
    with files.reading(network.path, "a network for this machine", ()):
        grey = Pixels().planes(np.full((1, *size_wh[::-1], 3), 114, np.uint8), network.dtype)
    every = [one.name for one in network.session.get_outputs()]
    (answers,) = network.run(grey, every)
    found = dict(zip(every, answers, strict=True))
    shapes = {name: array.shape for name, array in found.items()}
    for one, outputs in _fitting(heads, shapes, size_wh, len(names)):
        arrays = with_batch([found[name] for name in outputs], one, size_wh, len(names))
        if not (fault := one.fault(one.read(arrays, len(names)), len(names))):
            full = all(len(shapes[n]) == a.ndim for n, a in zip(outputs, arrays, strict=True))
            together = full and not isinstance(network.images.shape[0], int)
            return one, one.pixels.changed(words), outputs, together
        faults.append(f"{fault} (read as {one.name})")
    faults.append(_unlike(heads, shapes, size_wh, names))
    raise InputError(f"{network.path}: {faults[0]}")


def with_batch(arrays: Sequence[np.ndarray], head: Head, size_wh: Size, classes: int) -> Arrays:
    """Return arrays of one input with their first axis where the network leaves it out."""
    pairs = zip(arrays, head.shapes(size_wh, classes), strict=True)
    return [array if array.ndim == len(shape) else array[None] for array, shape in pairs]


def _fitting(
    heads: Sequence[Head], shapes: Shapes, size_wh: Size, classes: int
) -> list[tuple[Head, tuple[str, ...]]]:
    for named in (True, False):
        found = [(one, matched(one, shapes, size_wh, classes, named=named)) for one in heads]
        if fitting := [pair for pair in found if pair[1]]:
            return fitting
    return []


def _unlike(heads: Sequence[Head], shapes: Shapes, size_wh: Size, names: Sequence[str]) -> str:
    """Return what was found and what could be read, or for how many classes it could be."""
    found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    lengths = {length - more for shape in shapes.values() for length in shape[1:] for more in MORE}
    for one in heads:
        for count in sorted(lengths & {*range(1, MOST_CLASSES)}):
            if _fitting([one], shapes, size_wh, count):
                told = f"{count} classes, as {one.name}, but {len(names)} are named"
                return f"answers {found} for {told} ({listed(names)}); name the model's own"
    expected = {one.name: map(str, one.shapes(size_wh, len(names))) for one in heads}
    known = "; ".join(f"{name} {' + '.join(arrays)}" for name, arrays in expected.items())
    known = known.replace("None", "n")  # any length; several in brackets are one of them
    return f"answers {found}; expected for {len(names)} classes {known}. {REMEDY}"
