"""Errors -> precision, recall and F1 over the score, the score to deploy with, and the confusion of
classes from it on. A detection is right where AP counts it so at an IoU of 0.5."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from dmnet_lib.evaluation.error_kinds import CLASS, RIGHT, Errors

ALL = "all classes"
DRAWN = 200  # points of a curve in a figure, and in the table behind it
BACKGROUND, MISSED = "background", "missed"  # a false box of nothing, and an object without a box


@dataclass(frozen=True)
class OperatingPoint:
    """The score from which on detections are kept, with the highest F1 over all classes.

    f1: on the images that it was chosen on. held_out_f1: on each half of them at the score that the
    other half chose, which says what to expect of other images; None where a half has no object.
    """

    score: float
    f1: float
    held_out_f1: float | None


class Ranked(NamedTuple):
    """Detections that count: scores [N], and is_true [N]; and the number of objects to find."""

    scores: np.ndarray
    is_true: np.ndarray
    objects: int

    @classmethod
    def of(
        cls, errors: Errors, *, images: np.ndarray | None = None, class_id: int | None = None
    ) -> "Ranked":
        """Return those of a mask [M] of images, and of a class; by default of all."""
        rows, objects = np.ones(len(errors.found), bool), errors.truth.is_object
        if images is not None:
            rows = images[errors.found.image_index]
            objects = objects & images[errors.truth.image_index]
        if class_id is not None:
            rows = rows & (errors.found.class_ids == class_id)
            objects = objects & (errors.truth.class_ids == class_id)
        return cls(errors.found.scores[rows], errors.kind[rows] == RIGHT, int(objects.sum()))

    def curve(self) -> pd.DataFrame:
        """Return score, precision, recall and f1 at each score, falling."""
        order = np.argsort(-self.scores, kind="stable")
        scores, true = self.scores[order], np.cumsum(self.is_true[order])
        last = np.flatnonzero(np.diff(scores, append=-np.inf))  # equal scores come together
        kept, true = last + 1, true[last]
        rates = {"precision": true / kept, "recall": true / max(1, self.objects)}
        f1 = 2 * true / np.maximum(1, kept + self.objects)
        return pd.DataFrame({"score": scores[last], **rates, "f1": f1})

    def drawn(self) -> pd.DataFrame:
        """Return the curve at so many of its scores as a figure shows, its ends among them."""
        table = self.curve()
        places = np.linspace(0, len(table) - 1, min(DRAWN, len(table))).astype(int)
        return table.iloc[places]

    def best(self) -> tuple[float, float] | None:
        """Return the score of the highest F1, and that; None where nothing is right."""
        table = self.curve()
        if not self.is_true.any():
            return None
        place = table["f1"].to_numpy().argmax()
        return float(table["score"][place]), float(table["f1"][place])

    def at(self, score: float) -> tuple[int, int, int]:
        """Return how many detections from a score on are right, how many are kept, and objects."""
        kept = self.scores >= score
        return int((kept & self.is_true).sum()), int(kept.sum()), self.objects


def choose(errors: Errors, groups: np.ndarray) -> OperatingPoint | None:
    """Return the score of the highest F1, None where nothing is right.

    groups [M]: of images that belong together, as frames of a sequence; halves are of whole groups.
    """
    best = Ranked.of(errors).best()
    is_odd = np.unique(groups, return_inverse=True)[1] % 2 == 1
    halves = [Ranked.of(errors, images=mask) for mask in (is_odd, ~is_odd)]
    chosen = [half.best() for half in reversed(halves)]
    if best is None or None in chosen:
        return best and OperatingPoint(*best, None)
    counts = [half.at(score) for half, (score, _) in zip(halves, chosen, strict=True)]
    true, kept, objects = np.sum(counts, axis=0).tolist()
    return OperatingPoint(*best, 2 * true / (kept + objects))


def by_class(errors: Errors, score: float) -> pd.DataFrame:
    """Return a row of all classes and one of each with objects: objects, TP, FP, FN, and the rates,
    from this score on; best_score is the one of the class's own highest F1."""
    there = np.unique(errors.truth.class_ids[errors.truth.is_object]).tolist()
    names = {None: ALL} | {class_id: errors.truth.classes.name(class_id) for class_id in there}
    rows = {}
    for class_id, name in names.items():
        ranked = Ranked.of(errors, class_id=class_id)
        true, kept, objects = ranked.at(score)
        counts = {"objects": objects, "TP": true, "FP": kept - true, "FN": objects - true}
        precision, recall = true / kept if kept else None, true / objects
        f1, best = 2 * true / (kept + objects), ranked.best() or (None, None)
        rates = {"precision": precision, "recall": recall, "f1": f1}
        rows[name] = counts | rates | {"best_score": best[0]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")


def confusion(errors: Errors, score: float) -> pd.DataFrame:
    """Return how many objects of each class (rows) are found as each class, or missed (columns).

    Kept are detections from this score on. The last row holds false boxes of any other kind. An
    object that is not found counts as the class of its surest right box, if it has one.
    """
    kept = errors.found.scores >= score
    right = np.flatnonzero(kept & (errors.kind == RIGHT))
    named = np.flatnonzero(kept & (errors.kind == CLASS))
    named = named[~np.isin(errors.target[named], errors.target[right])]
    named = named[np.lexsort((-errors.found.scores[named], errors.target[named]))]
    named = named[np.diff(errors.target[named], prepend=-1) != 0]
    count = len(errors.truth.classes)
    cells = np.zeros((count + 1, count + 1), np.int64)  # the last of each is nothing
    rows = np.concatenate([right, named])
    of_object = errors.truth.class_ids[errors.target[rows]] - 1
    np.add.at(cells, (of_object, errors.found.class_ids[rows] - 1), 1)
    objects = errors.truth.class_ids[errors.truth.is_object]
    asked = np.bincount(objects, minlength=count + 1)[1:]
    cells[:count, count] = asked - cells[:count].sum(axis=1)
    found = np.bincount(errors.found.class_ids[kept], minlength=count + 1)[1:]
    cells[count, :count] = found - cells[:count, :count].sum(axis=0)
    names = errors.truth.classes.names
    table = pd.DataFrame(cells, index=[*names, BACKGROUND], columns=[*names, MISSED])
    return table.rename_axis(index="truth", columns="found as")
