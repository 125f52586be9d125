"""The classes of a model by name -> those of the data that they are."""

import ast
from collections.abc import Sequence
from pathlib import Path

from dmnet_lib.core import files, lists
from dmnet_lib.core.classes import Classes, listed
from dmnet_lib.core.files import InputError, nearest

COCO = tuple(files.values_beside(__file__)["coco"])
Mapped = tuple[tuple[int, ...], tuple[int, ...]]  # columns of the model's classes, their numbers


def of_model(path: Path, own: str | None, given: lists.Given) -> tuple[str, ...]:
    """Return the names given, or the model's own, {number: name} or a list in Python's spelling."""
    if names := lists.parts(given):
        return COCO if names == ["coco"] else tuple(names)
    if own is None:
        raise InputError(f"{path}: names no classes; say them by model_classes: coco, or a list")
    try:
        listed = ast.literal_eval(own)
        return tuple(str(listed[n]) for n in range(len(listed)))
    except (ValueError, SyntaxError, TypeError, LookupError):
        raise InputError(f"{path}: the names of its classes are corrupted ({own:.60})") from None


def mapped(names: Sequence[str], classes: Classes, class_map: lists.Given) -> Mapped:
    """Return which of a model's classes count, and what they are in the data; see `Onnx.open`."""
    found, wanted = {}, _pairs(class_map, names)
    if not wanted:
        found = {name: number for name in names if (number := classes.like(name))}
        if not found:
            both = f"the model has {listed(dict.fromkeys(names))}; the data {classes}"
            raise InputError(f"no class of the model is one of the data: {both}; give a class_map")
    for theirs, own in wanted:
        if theirs not in names:
            hint = nearest(theirs, names) or f"; there are {listed(names)}"
            raise InputError(f"{theirs!r} is no class of the model{hint}")
        if theirs in found:
            raise InputError(f"{theirs!r} is named twice in {lists.text(class_map)!r}")
        found[theirs] = classes.id(own)
    return tuple(names.index(name) for name in found), tuple(found.values())


def chosen(path: Path, names: Sequence[str], class_map: lists.Given) -> Classes:
    """Return the classes that class_map makes of a model's, by default all of them."""
    own = [own for _, own in _pairs(class_map, names)] or names
    return Classes(tuple(dict.fromkeys(own)), path.name)


def _pairs(class_map: lists.Given, names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the model's and the data's name of each class: theirs, theirs: ours, or, as
    classes of data are merged, ours: theirs + theirs."""
    found = []
    for part in lists.parts(class_map):
        first, _, rest = (word.strip() for word in part.partition(":"))
        members = [word.strip() for word in rest.split("+")]
        is_merge = len(members) > 1 and {*members} <= {*names}
        found += [(one, first) for one in members] if is_merge else [(first, rest or first)]
    return found
