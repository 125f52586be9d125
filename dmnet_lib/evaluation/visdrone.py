"""Annotations and detections in, metrics by the rules of the VisDrone2018-DET-toolkit out.

AP is the area under every step of the precision curve (not COCO's 101 points), and the toolkit's
means count a class once for each image that contains it; `macro` has the plain class means.
"""

from collections.abc import Iterator
from importlib.metadata import version

import numpy as np

from dmnet_lib.core.annotations import SCORE, Annotations
from dmnet_lib.core.tables import Detections
from dmnet_lib.evaluation import matching
from dmnet_lib.evaluation.matching import FALSE, THRESHOLDS, TRUE, drop_in_ignored_regions, match

CAPS = (1, 10, 100, 500)  # detections of an image, over all classes, in the order given
AP50, AP75 = 0, 5  # positions in THRESHOLDS


def evaluate(truth: Annotations, found: Detections) -> dict[str, object]:
    """Return AP, AP50, AP75, AR1, AR10, AR100 and AR500 as fractions, weighted as the toolkit does.

    Rows of an image are taken in the order given, so sort them by score. A mean of nothing is None.
    Raises ValueError when truth and found count different images.
    """
    truth, found = drop_in_ignored_regions(truth, found)
    tables = class_tables(truth, found)
    names, in_class = truth.classes.names, _in_class(truth)
    images = np.array([len(np.unique(truth.image_index[rows])) for rows in in_class.T])
    present = np.flatnonzero(images)
    per_class = {names[k]: _means(tables, np.eye(len(names))[k]) for k in present}
    for k in present:
        per_class[names[k]] |= {"images": int(images[k]), "boxes": int(in_class[:, k].sum())}
    return _means(tables, images) | {
        "macro": _means(tables, images > 0),
        "per_class": per_class,
        "protocol": "visdrone",
        "protocol_details": matching.PROTOCOLS["visdrone"],
        "backend": f"dmnet_lib {version('dmnet-suite')}",
        "images": len(truth),
        "boxes": int(in_class.sum()),
        "max_detections": CAPS[-1],
    }


def _means(tables: dict[str, np.ndarray], weights: np.ndarray) -> dict[str, float | None]:
    """Return the metrics' means over classes with weights [K] (all zero: None)."""
    if not np.any(weights):
        return dict.fromkeys(("AP", "AP50", "AP75", *(f"AR{cap}" for cap in CAPS)))
    rows = {name: np.average(table, axis=0, weights=weights) for name, table in tables.items()}
    return {
        "AP50": float(rows["AP"][AP50]),
        "AP75": float(rows["AP"][AP75]),
        **{name: float(row.mean()) for name, row in rows.items()},
    }


def _in_class(truth: Annotations) -> np.ndarray:
    """Return the [N, K] mask of the rows of each class that recall counts."""
    counted = ~truth.ignored | (SCORE in truth.extra)  # what other data ignores is not counted
    return (truth.class_ids[:, None] == truth.classes.ids) & counted[:, None]


def class_tables(truth: Annotations, found: Detections) -> dict[str, np.ndarray]:
    """Return AP, AR1, AR10, AR100, AR500 [classes, thresholds]; ignored regions are dropped."""
    boxes = _in_class(truth).sum(axis=0)
    tables = {"AP": np.zeros((len(boxes), len(THRESHOLDS)))}
    for cap, first, outcome in _outcomes(truth, found):
        order = np.argsort(-first.scores, kind="stable")
        recalls = tables.setdefault(f"AR{cap}", np.zeros_like(tables["AP"]))
        for row, class_id in enumerate(truth.classes.ids):
            chosen = order[first.class_ids[order] == class_id]
            for levels in np.split(np.arange(len(THRESHOLDS)), 5):  # curves take much memory
                recall, precision = curve(outcome[levels][:, chosen], boxes[row])
                recalls[row, levels] = recall[:, -1]
                if cap == CAPS[-1]:
                    tables["AP"][row, levels] = area_under(recall, precision)
    return tables


def _outcomes(
    truth: Annotations, found: Detections
) -> Iterator[tuple[int, Detections, np.ndarray]]:
    """Yield for each cap the first detections of every image and what they count as [T, n]."""
    place = np.arange(len(found)) - np.searchsorted(found.image_index, found.image_index)
    by_score = np.all((np.diff(found.scores) <= 0) | (place[1:] == 0))
    whole = match(truth, found) if by_score else None
    for cap in CAPS:
        first = found.select(place < cap)
        # Those after the cap are matched after those before it, and so take nothing from them.
        yield cap, first, match(truth, first) if whole is None else whole[:, place < cap]


def curve(outcome: np.ndarray, boxes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision [T, 1 + n] after each of n detections; both start at 0."""
    start = np.zeros((len(outcome), 1))
    true = np.concatenate([start, np.cumsum(outcome == TRUE, axis=1)], axis=1)
    false = np.concatenate([start, np.cumsum(outcome == FALSE, axis=1)], axis=1)
    return true / max(1, boxes), true / np.maximum(1, true + false)


def area_under(recall: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Return the area [T] under curves [T, 1 + n], precision made non-increasing from the right."""
    falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return (np.diff(recall, axis=1) * falling[:, 1:]).sum(axis=1)
