"""Annotations in, those that a conversion keeps out: by default all of them.

The released scripts leave rows and images out; `profiles` says which and why not to.
"""

import numpy as np

from dmnet_lib.core.annotations import Annotations


def apply(
    annotations: Annotations, *, rows: str = "all", drop_score0: bool = True,
    oversized_boxes: str = "kept", empty_images: str = "kept",
) -> Annotations:  # fmt: skip
    """Return the table without what the rules leave out; images keep their order.

    rows "objects" keeps boxes of a class with an area, and the ignored ones of them only where
    drop_score0 is False. oversized_boxes "dropped" leaves out boxes wider or higher than
    their image; empty_images "left_out" leaves out images that have no row then.
    """
    keep = np.ones(len(annotations.class_ids), dtype=bool)
    if rows == "objects":
        keep &= annotations.is_object if drop_score0 else annotations.has_class
    if oversized_boxes == "dropped":
        sizes_wh = annotations.sizes_wh[annotations.image_index]
        keep &= np.all(annotations.boxes_xywh[:, 2:] <= sizes_wh, axis=1)
    counts = np.bincount(annotations.image_index[keep], minlength=len(annotations))
    images = np.flatnonzero((counts > 0) | (empty_images == "kept"))
    if keep.all() and len(images) == len(annotations):
        return annotations
    return annotations.where(keep).of_images(images)
