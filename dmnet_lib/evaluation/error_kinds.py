"""Truth and detections -> what is wrong with them, by kind, and the AP that each kind costs.

The kinds are TIDE's (Bolya et al. 2020, section 2.2): every false positive is of one, and every
missed object too. One kind is added, a part of `localisation`: what a crop's border cut.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from dmnet_lib.core import boxes, overlaps
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.evaluation import bootstrap, matching
from dmnet_lib.evaluation.bootstrap import Matches
from dmnet_lib.evaluation.difference import interval

FOREGROUND, BACKGROUND = 0.5, 0.1  # IoUs: a right box from, and a box of nothing up to
BORDER_PX = 4.0  # from a crop's border at which a box counts as cut by it
ABOUT = {
    "class": "a right box, named as another class",
    "localisation": "the right class, but the box is off: its IoU is under 0.5",
    "truncated": "as localisation, since a crop's border cuts the object there",
    "both": "wrong class and box off",
    "duplicate": "a second box of an object that a surer one found",
    "background": "no object is there",
    "missed": "an object without a box, right or nearly right",
}
KINDS = tuple(ABOUT)
CLASS, LOCALISATION, TRUNCATED, BOTH, DUPLICATE, NOTHING, MISSED = range(len(KINDS))
RIGHT = -1  # the kind of a true positive


@dataclass(frozen=True)
class Errors:
    """What each of N detections that count is, and which objects were missed.

    kind [N]: RIGHT, or a place in KINDS. target [N]: the row of truth that a box found, or nearly
    found, be it in another class; -1 for none. fixable [N]: whether a box of kind CLASS,
    LOCALISATION or TRUNCATED, put right, finds an object that no other finds. missed [G]: rows of
    truth.
    """

    truth: Annotations
    found: Detections
    kind: np.ndarray
    target: np.ndarray
    fixable: np.ndarray
    missed: np.ndarray

    def counts(self) -> dict[str, int]:
        """Return how many errors of each kind there are."""
        numbers = np.bincount(self.kind[self.kind != RIGHT], minlength=len(KINDS))
        numbers[MISSED] = self.missed.sum()
        return dict(zip(KINDS, numbers.tolist(), strict=True))

    def matches(self, fixed: Collection[int] = ()) -> Matches:
        """Return what counts for AP at an IoU of 0.5 once errors of these kinds are put right.

        A box of the wrong class or place then finds its object, or goes where another box finds it;
        all other false boxes go, and missed objects are not asked for.
        """
        is_fixed = np.isin(self.kind, [*fixed])
        rows = np.flatnonzero(~is_fixed | self.fixable)
        rows = rows[np.argsort(-self.found.scores[rows], kind="stable")]
        of_object = self.truth.class_ids[self.target[rows]]
        class_ids = np.where(is_fixed[rows], of_object, self.found.class_ids[rows])
        is_true = is_fixed[rows] | (self.kind[rows] == RIGHT)
        outcome = np.where(is_true, matching.TRUE, matching.FALSE).astype(np.int8)[None]
        asked = self.truth.is_object & ~(self.missed & (MISSED in fixed))
        objects = np.zeros((len(self.truth.classes), len(self.truth)), np.int64)
        np.add.at(objects, (self.truth.class_ids[asked] - 1, self.truth.image_index[asked]), 1)
        images = self.found.image_index[rows]
        return Matches(objects, class_ids - 1, images, outcome, self.truth.classes)


class _Pairs(NamedTuple):
    """Pairs of a detection (row) and an object (row of truth) of its image, with their IoU [P]."""

    row: np.ndarray
    box: np.ndarray
    iou: np.ndarray

    def where(self, keep: np.ndarray) -> "_Pairs":
        return _Pairs(*(column[keep] for column in self))

    def best(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return each of count detections' greatest IoU, 0 of none, and its object, -1 of none."""
        # The later one of equals, as in matching.
        order = np.lexsort((self.box, self.iou, self.row))
        iou, box = np.zeros(count), np.full(count, -1)
        iou[self.row[order]], box[self.row[order]] = self.iou[order], self.box[order]
        return iou, box

    def taken(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the detections, and the objects that they take, surest first, as in matching."""
        some = self.where(self.iou >= FOREGROUND)
        rank = matching.rank_in_group(np.zeros(len(scores), np.int64), scores)
        some = some.where(np.lexsort((-some.box, -some.iou, rank[some.row])))
        chosen = matching.greedy_pairs(some.row, some.box)
        return some.row[chosen], some.box[chosen]


def classify(
    truth: Annotations,
    found: Detections,
    *,
    crops: Regions | None = None,
    max_detections: int = 500,
) -> Errors:
    """Return the kind of every error, of the best max_detections per image and class.

    Ignored regions, and objects that are not evaluated, hide detections as they do for AP. crops:
    those that the detector saw. Raises ValueError where the images differ.
    """
    truth, found = matching.drop_in_ignored_regions(truth, found)
    group = found.image_index * (len(truth.classes) + 1) + found.class_ids
    found = found.select(matching.rank_in_group(group, found.scores) < max_detections)
    outcome = matching.match(truth, found)[0]
    counts = outcome != matching.SKIPPED
    found, is_true = found.select(counts), outcome[counts] == matching.TRUE
    truth_xyxy = boxes.xywh_to_xyxy(truth.boxes_xywh).astype(np.float64)
    kind, target = _kinds(truth, truth_xyxy, found, is_true)
    if crops is not None:
        near = np.flatnonzero(kind == LOCALISATION)
        cut = _cut(found.select(near), truth_xyxy[target[near]], crops)
        kind[near[cut]] = TRUNCATED
    is_near = np.isin(kind, (CLASS, LOCALISATION, TRUNCATED))
    taken = target[kind == RIGHT]
    missed = truth.is_object.copy()
    missed[np.concatenate([taken, target[is_near]])] = False
    candidates = np.flatnonzero(is_near & ~np.isin(target, taken))
    fixable = np.zeros(len(found), bool)
    surest = candidates[np.lexsort((-found.scores[candidates], target[candidates]))]
    fixable[surest[np.diff(target[surest], prepend=-1) != 0]] = True
    return Errors(truth, found, kind, target, fixable, missed)


def _kinds(
    truth: Annotations, truth_xyxy: np.ndarray, found: Detections, is_true: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each detection's kind [N], but TRUNCATED, and the object [N] that it is of, or -1."""
    objects = np.flatnonzero(truth.is_object)
    parts = overlaps.between(truth.image_index[objects], truth_xyxy[objects], found.image_index,
                             found.boxes_xyxy, least=BACKGROUND)  # fmt: skip
    box, row, iou = (np.concatenate(column) for column in zip(matching.EMPTY, *parts, strict=True))
    pairs = _Pairs(row, objects[box], iou)
    is_same = truth.class_ids[pairs.box] == found.class_ids[pairs.row]
    same_iou, same = pairs.where(is_same).best(len(found))
    other_iou, other = pairs.where(~is_same).best(len(found))
    kind = np.select(  # in this order, since a box may be of several kinds
        [is_true, (same_iou > 0) & (same_iou < FOREGROUND), other_iou >= FOREGROUND,
         same_iou >= FOREGROUND, other_iou > BACKGROUND],
        [RIGHT, LOCALISATION, CLASS, DUPLICATE, BOTH], NOTHING,
    )  # fmt: skip
    target = np.select([kind == CLASS, kind == BOTH], [other, -1], same)
    rows, taken = pairs.where(is_same & is_true[pairs.row]).taken(found.scores)
    target[rows] = taken
    return kind, target


def _cut(found: Detections, objects_xyxy: np.ndarray, crops: Regions) -> np.ndarray:
    """Return the [N] mask of boxes that end at a crop's border, where their object goes on."""
    cut = np.zeros(len(found), bool)
    for row, crop in boxes.pairs(found.image_index, crops.image_index):
        box, region, whole = found.boxes_xyxy[row], crops.boxes_xyxy[crop], objects_xyxy[row]
        inward = np.array([1, 1, -1, -1])  # from each side of a box
        ends_there = np.abs(box - region) <= BORDER_PX
        goes_on = (region - whole) * inward > BORDER_PX
        lies_in = boxes.holds(region + BORDER_PX * -inward, box)
        np.logical_or.at(cut, row, lies_in & (ends_there & goes_on).any(axis=1))
    return cut


def costs(by_seed: Sequence[Errors], weights: np.ndarray, *, level: float = 0.95) -> pd.DataFrame:
    """Return a row per kind: errors, and by how much AP50 would rise if they were put right.

    by_seed: of the networks of each training seed, whose mean this is. weights [1 + B, M]: the
    images as they are, then resampled, for the interval low to high at `level`.
    """
    samples = [_rises(errors, weights) for errors in by_seed]
    rises = bootstrap.over_seeds(samples)
    counts = pd.DataFrame([errors.counts() for errors in by_seed]).mean()
    ends = [interval(rises[kind][1:], level=level) for kind in KINDS]
    low, high = zip(*ends, strict=True)
    rise = [rises[kind][0] for kind in KINDS]
    columns = {"errors": counts, "AP50_cost": rise, "low": low, "high": high}
    return pd.DataFrame(columns, index=pd.Index(KINDS, name="kind"))


def _rises(errors: Errors, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return what putting each kind right adds to AP50, [1 + B]."""
    base = bootstrap.average_precisions(errors.matches(), weights)
    rises = {}
    for kind, name in enumerate(KINDS):
        fixed = bootstrap.average_precisions(errors.matches([kind]), weights)
        # Of a class whose objects were all missed nothing is left to find, or to get wrong.
        fixed = np.where(np.isnan(fixed) & ~np.isnan(base), 1.0, fixed)
        rises[name] = bootstrap.class_means(fixed) - bootstrap.class_means(base)
    return rises
