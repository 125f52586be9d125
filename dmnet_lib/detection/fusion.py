"""Whole-image and crop detections -> fused detections, best first, at most N an image.

`apply_view_rules` comes first where the views of the boxes are known: it lets scores of all views
mean the same, and treats what a crop's border cut and what another view shows better. `fuse` joins
all and suppresses duplicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dmnet_lib.core import boxes, overlaps
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import CORRECTED, FusionRules
from dmnet_lib.core.tables import Detections, ViewDetections, join
from dmnet_lib.cropping.recall import Curve, logistic
from dmnet_lib.cropping.reliability import FLAT, Reliability, logit
from dmnet_lib.detection import suppressing

# What `apply_view_rules` goes by, chosen on real train images; notebook 06 shows what the rules do.
TOUCH_PX = 2.0  # of the view, from a border at which a box counts as cut
CUT_ROOM = 0.5  # of the box's side, that another view must show beyond the border
CUT_SCALE = 0.25  # least scale of a view that shows the object whole, over the box's own
BETTER = 1.3  # times as large, or as good for a box of its size, is what a better view shows
AS_RIGHT = 0.8  # as often right as its own view is, may a view be that shows a box larger
BETTER_ROOM = 0.25  # of the box's side, that it must show around the box
VOTE_IOU = 0.5  # overlap of a box with what another view reports, that is a vote for it
SUREST = 0.95  # recall that a view is taken to have at most, when it reports nothing


@dataclass(frozen=True)
class ViewRules:
    """How boxes count that another view of the image shows better.

    truncated_boxes "suppressed": a box at a crop's inner border goes where another view shows the
    object whole ("kept": it stays). view_weight in (0, 1]: the factor on the score of a box whose
    object another view shows whole and better: larger and about as often right, or so that more
    objects of its size are found (by curve) times boxes are right (by reliability). Scores are
    taken as they would be in whole images, by reliability. votes: a box is worth less for each
    other view that shows it whole, should have found it (by curve), and reports nothing there.
    """

    truncated_boxes: str = "suppressed"
    view_weight: float = 0.5
    curve: Curve = Curve()  # noqa: RUF009 (frozen)
    reliability: Reliability = FLAT
    votes: bool = False

    def __post_init__(self) -> None:
        if self.truncated_boxes not in ("suppressed", "kept") or not 0 < self.view_weight <= 1:
            expected = "truncated_boxes suppressed or kept, view_weight above 0 and at most 1"
            raise InputError(f"{self}: expected {expected}")

    @property
    def keep_all(self) -> bool:
        """Whether every box stays as it is."""
        kept = self.truncated_boxes == "kept" and self.view_weight == 1
        return kept and self.reliability.is_flat and not self.votes


Views = tuple[np.ndarray, np.ndarray, np.ndarray]  # regions, images and scales, by image
AS_RELEASED = ViewRules(truncated_boxes="kept", view_weight=1.0)


def apply_view_rules(
    passes: Sequence[ViewDetections], sizes_wh: np.ndarray, rules: ViewRules = AS_RELEASED
) -> list[Detections]:
    """Return the boxes of each pass that stay by the rules, with their scores as they count.

    The views of all passes of an image of sizes_wh [M, 2] are held against each other: which of
    them shows an object follows from its box alone.
    """
    if rules.keep_all or not passes:
        return [one.detections for one in passes]
    regions_xyxy = np.concatenate([one.regions.boxes_xyxy for one in passes])
    images = np.concatenate([one.regions.image_index for one in passes])
    scales = np.concatenate([one.scales for one in passes])
    order, sizes_wh = np.argsort(images, kind="stable"), np.asarray(sizes_wh)
    views = regions_xyxy[order], images[order], scales[order]
    missed = [0.0] * len(passes)
    if rules.votes:
        missed = _missed(passes, views, np.argsort(order), sizes_wh, rules.curve)
    return [_ruled(one, views, sizes_wh, rules, at) for one, at in zip(passes, missed, strict=True)]


def _ruled(
    seen: ViewDetections, views: Views, sizes_wh: np.ndarray, rules: ViewRules, missed: np.ndarray
) -> Detections:
    """Return one pass' boxes without truncated ones, weighted down where others see better, and
    by the log odds [N] of what other views missed."""
    found, scales = seen.detections, seen.scales[seen.view_index]
    side = found.sides_px[:, None]
    size, scores = sizes_wh[found.image_index], found.scores
    scores = rules.reliability.as_at_reference(scores, scales)
    if rules.votes:
        scores = logistic(logit(scores) + missed)
    if rules.view_weight < 1:
        room = _grown(found.boxes_xyxy, BETTER_ROOM * side, size)
        worse = _shown_better(found, room, scales, views, rules)
        scores = np.where(worse, scores * rules.view_weight, scores)
    kept = np.ones(len(found), bool)
    if rules.truncated_boxes == "suppressed":
        cut = _cut_sides(seen, size)
        some = np.flatnonzero(cut.any(axis=1))
        # Far enough that a box of few pixels is not shown whole by the view that cut it.
        beyond = np.maximum(CUT_ROOM * side, 2 * TOUCH_PX / scales[:, None])
        whole = _grown(found.boxes_xyxy[some], cut[some] * beyond[some], size[some])
        kept[some] = ~_shown(found.select(some), whole, scales[some] * CUT_SCALE, views)
    return replace(found, scores=scores).select(kept)


def _missed(
    passes: Sequence[ViewDetections], views: Views, place: np.ndarray, sizes_wh: np.ndarray,
    curve: Curve,
) -> list[np.ndarray]:  # fmt: skip
    """Return for each box [N] of each pass the log odds against it, of the views that show it whole
    and report nothing there: the sum of log(1 - recall). Views have their place [R] among views."""
    boxes_xyxy, image, class_ids, own = _as_columns(passes, place)
    regions_xyxy, images, scales = views
    groups = image * (class_ids.max(initial=0) + 1) + class_ids
    votes = _votes(groups, boxes_xyxy, own, len(scales))
    sides_px, against = np.sqrt(boxes.area(boxes_xyxy)), np.zeros(len(groups))
    room = _grown(boxes_xyxy, BETTER_ROOM * sides_px[:, None], sizes_wh[image])
    for row, view in boxes.pairs(image, images):
        should = boxes.holds(regions_xyxy[view], room[row]) & (view != own[row])
        pair = row * len(scales) + view
        silent = should & (votes[np.searchsorted(votes, pair) % len(votes)] != pair)
        row, view = row[silent], view[silent]
        recall = np.minimum(curve(sides_px[row] * scales[view]), SUREST)
        np.add.at(against, row, np.log1p(-recall))
    return np.split(against, np.cumsum([len(one) for one in passes])[:-1])


def _as_columns(passes: Sequence[ViewDetections], place: np.ndarray) -> list[np.ndarray]:
    """Return boxes_xyxy, image_index, class_ids and the view's place of all boxes of all passes."""
    begun = np.cumsum([0] + [len(one.regions) for one in passes])[:-1]
    own = [place[one.view_index + first] for one, first in zip(passes, begun, strict=True)]
    names, found = ("boxes_xyxy", "image_index", "class_ids"), [one.detections for one in passes]
    columns = [[getattr(one, name) for one in found] for name in names]
    return [np.concatenate(parts) for parts in (*columns, own)]


def _votes(groups: np.ndarray, boxes_xyxy: np.ndarray, own: np.ndarray, views: int) -> np.ndarray:
    """Return, rising, row * views + view for each box and view that reports one like it."""
    compared = overlaps.between(groups, boxes_xyxy, groups, boxes_xyxy, least=VOTE_IOU)
    votes = [row * views + own[other] for row, other, _ in compared]
    return np.unique(np.concatenate([np.array([-1]), *votes]))


def _grown(boxes_xyxy: np.ndarray, by_px: np.ndarray, size_wh: np.ndarray) -> np.ndarray:
    """Return the boxes with each side moved out by by_px [n, 4] or [n, 1], in their images."""
    return boxes.clip(boxes_xyxy + by_px * np.array([-1, -1, 1, 1]), size_wh)


def _cut_sides(seen: ViewDetections, size_wh: np.ndarray) -> np.ndarray:
    """Return [N, 4]: which sides of a box lie at the border of its view and not of the image."""
    view, box = seen.regions.boxes_xyxy[seen.view_index], seen.detections.boxes_xyxy
    outward = np.array([1, 1, -1, -1])
    near = (box - view) * outward <= TOUCH_PX / seen.scales[seen.view_index][:, None]
    inner = np.concatenate([view[:, :2] > 0, view[:, 2:] < size_wh], axis=1)
    return near & inner


def _shown_better(
    found: Detections, whole_xyxy: np.ndarray, own: np.ndarray, views: Views, rules: ViewRules
) -> np.ndarray:
    """Return [n]: whether a view of their image that holds whole_xyxy shows boxes, seen at scales
    own [n], better: larger, and about as often right; or by recall times how often it is right."""
    regions_xyxy, images, scales = views
    better, sides_px = np.zeros(len(found), bool), found.sides_px
    # Of each box in its own view, and of each view whatever it shows.
    own_recall, own_right = rules.curve(sides_px * own), rules.reliability.share(own)
    own_quality, right = own_recall * own_right, rules.reliability.share(scales)
    best_quality = rules.curve.top * right  # of a view, for boxes of the size that suits it
    for row, view in boxes.pairs(found.image_index, images):
        may_be_finer = best_quality[view] >= BETTER * own_quality[row]
        able = may_be_finer | (scales[view] >= BETTER * own[row])
        row, view = row[able], view[able]
        held = boxes.holds(regions_xyxy[view], whole_xyxy[row])
        row, view = row[held], view[held]
        recall = rules.curve(sides_px[row] * scales[view])
        trusted = right[view] >= AS_RIGHT * own_right[row]
        no_worse = recall >= own_recall[row]
        larger = (scales[view] >= BETTER * own[row]) & trusted & no_worse
        finer = recall * right[view] >= BETTER * own_quality[row]
        better[row[larger | finer]] = True
    return better


def _shown(
    found: Detections, whole_xyxy: np.ndarray, least_scale: np.ndarray, views: Views
) -> np.ndarray:
    """Return [n]: whether a view of their image holds whole_xyxy [n, 4] at least_scale [n]."""
    regions_xyxy, images, scales = views
    shown = np.zeros(len(found), bool)
    for row, view in boxes.pairs(found.image_index, images):
        large = scales[view] >= least_scale[row]
        row, view = row[large], view[large]
        shown[row[boxes.holds(regions_xyxy[view], whole_xyxy[row])]] = True
    return shown


def fuse(
    parts: list[Detections],
    *,
    names: tuple[str, ...],
    iou_threshold: float = 0.7,
    top: int = 500,
    rules: FusionRules = CORRECTED.fusion,
    suppression: str = "nms",
) -> Detections:
    """Return all parts put together, one box an object, the best `top` of each image.

    Parts hold boxes in whole-image pixels (DMNet, section 3.4: NMS at 0.7, top 500). The best are
    taken after the suppression (`suppressing.METHODS`) and by score, so the order of the parts
    changes nothing but ties; for top_rule "misplaced" see `_misplaced`.
    """
    together = join(parts, names)
    how = {"iou_threshold": iou_threshold, "rules": rules}
    if rules.top_rule == "misplaced":
        kept = suppressing.kept_rows(together, **how)
        return together.select(_misplaced(together, kept, top)).by_score()
    return suppressing.suppressed(together, suppression, **how).top(top)


def _misplaced(found: Detections, kept: np.ndarray, top: int) -> np.ndarray:
    """Return the rows that the released fusion keeps, rising.

    In an image with more than top kept boxes, the places of the best in the kept list (by class,
    then falling score) are used as places among the image's boxes before the NMS.
    """
    image, place = found.image_index[kept], suppressing.places(found.image_index[kept])
    listed = kept[np.lexsort((-found.scores[kept], found.class_ids[kept], image))]
    best = np.lexsort((-found.scores[listed], image))[place < top]
    misplaced = np.searchsorted(found.image_index, image[best]) + place[best]
    many = np.bincount(image)[image] > top
    return np.sort(np.concatenate([kept[~many], misplaced[many[best]]]))
