"""Errors of a strategy -> how small objects may be: the share that is found, by their size.

Sizes are the square root of a box's area in pixels of the image, whatever the detector is shown.
"""

import numpy as np
import pandas as pd

from dmnet_lib.cropping import recall
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.evaluation.error_kinds import RIGHT, Errors

LEAST_FOUND = 10  # objects, under which there is no curve
SIDES_PX = np.geomspace(1, 1024, 2000)  # where half is looked for


def found_objects(errors: Errors, score: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sides_px, class_ids and found (bool) of the objects [G]: by a box from score on."""
    rows = np.flatnonzero((errors.kind == RIGHT) & (errors.found.scores >= score))
    found = np.zeros(len(errors.truth.class_ids), bool)
    found[errors.target[rows]] = True
    objects = errors.truth.is_object
    return errors.truth.sides_px[objects], errors.truth.class_ids[objects], found[objects]


def half_px(curve: Curve) -> float | None:
    """Return the side from which on half of the objects are found, None where that is never so."""
    reached = np.flatnonzero(curve(SIDES_PX) >= 0.5)
    return float(SIDES_PX[reached[0]]) if len(reached) else None


def row(sides_px: np.ndarray, found: np.ndarray) -> dict[str, object]:
    """Return objects, the share found, half_px, and the share of these objects that is smaller."""
    is_known = found.sum() >= LEAST_FOUND  # else the fit tells of its prior alone
    half = half_px(recall.fit(sides_px, found)) if is_known else None
    below = None if half is None else float(np.mean(sides_px < half))
    share = float(found.mean()) if len(found) else None
    return {"objects": len(found), "found": share, "half_px": half, "smaller": below}


def by_class(errors: Errors, score: float) -> pd.DataFrame:
    """Return `row` of each class that has objects."""
    sides_px, class_ids, found = found_objects(errors, score)
    names = {class_id: errors.truth.classes.name(class_id) for class_id in np.unique(class_ids)}
    rows = {n: row(sides_px[class_ids == k], found[class_ids == k]) for k, n in names.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")
