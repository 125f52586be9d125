"""Annotations and detections in, COCO metrics out, by default faster-coco-eval's."""

import contextlib
import io
from dataclasses import replace
from importlib.metadata import version

import faster_coco_eval
import numpy as np
import pycocotools.coco
import pycocotools.cocoeval

from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.parallel import without_collector
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.formats import coco as coco_format
from dmnet_lib.evaluation import bootstrap, matching

PROTOCOLS = matching.PROTOCOLS["coco"]  # by the rule for ignored regions
PROTOCOL = PROTOCOLS["dropped"]
USUAL_MAX = 100  # the max_detections of COCO's own summary, of which papers' figures are
CLASS_ROWS = 400_000  # of classes that are scored together: a row's matches take some 0.6 KB
LARGE_ROWS = 800_000  # of a class that is matched here, to the same figures: in 0.1 KB a row
IMAGE_ROWS = 50_000  # of images that are matched together: as dictionaries a row takes 1 KB
BESIDE = f"; dmnet_lib where a class has {LARGE_ROWS:,} boxes and detections or more"
BACKENDS = {  # of COCO files, of scores, and where these have what each image's matches are
    "faster-coco-eval": (faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster, "_evalImgs_cpp"),
    "pycocotools": (pycocotools.coco.COCO, pycocotools.cocoeval.COCOeval, "evalImgs"),
}


def evaluate(
    truth: Annotations,
    found: Detections,
    *,
    max_detections: int = 500,
    ignored_regions: str = "dropped",
    backend: str = "faster-coco-eval",
) -> dict[str, object]:
    """Return AP, AP50, AP75, APs, APm, APl and AR as fractions, and each class's own.

    `at_100` holds the same at USUAL_MAX detections. A mean over nothing is None; a class without
    ground truth is left out. Small, medium and large are split at 32^2 and 96^2 square pixels of
    w * h. Raises ValueError when truth and found count different images.
    """
    if ignored_regions == "background":
        matching.require_same_images(truth, found)
        truth = truth.where(truth.is_object)
    else:
        truth, found = matching.drop_in_ignored_regions(truth, found)
    precision, recall = _accumulate(truth, found, max_detections, backend)
    boxes = np.bincount(truth.class_ids[(truth.class_ids > 0) & ~truth.ignored],
                        minlength=len(truth.classes) + 1)[1:]  # fmt: skip
    large = int(_class_rows(truth, found).max(initial=0) >= LARGE_ROWS)
    whole, usual = ((precision[..., m], recall[..., m]) for m in (0, 1))
    return {
        **_means(*whole),
        "at_100": _means(*usual),
        "per_class": {
            truth.classes.names[k]: _means(*(table[..., k : k + 1, :] for table in whole))
            | {"boxes": int(boxes[k])}
            for k in np.flatnonzero(boxes)
        },
        "protocol": "coco",
        "protocol_details": PROTOCOLS[ignored_regions],
        "ignored_regions": ignored_regions,
        "max_detections": max_detections,
        "backend": f"{backend} {version(backend)}{BESIDE * large}",
        "images": len(truth),
        "boxes": int(boxes.sum()),
    }


def _means(precision: np.ndarray, recall: np.ndarray) -> dict[str, float | None]:
    """Return the means of precision [T, R, K, A] and recall [T, K, A] over what is there."""
    return {
        "AP": _mean(precision[..., 0]),
        "AP50": _mean(precision[0, ..., 0]),
        "AP75": _mean(precision[5, ..., 0]),
        **{f"AP{size}": _mean(precision[..., a]) for a, size in enumerate("sml", start=1)},
        "AR": _mean(recall[..., 0]),
    }


def _mean(values: np.ndarray) -> float | None:
    filled = values[values > -1]  # COCOeval marks the rest with -1
    return float(filled.mean()) if filled.size else None


def _accumulate(
    truth: Annotations, found: Detections, max_detections: int, backend: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return COCOeval's precision [T, R, K, A, 2] and recall [T, K, A, 2].

    The last axis is the cap of detections: max_detections, then USUAL_MAX. Classes are scored some
    at a time, as none sees another.
    """
    rows = _class_rows(truth, found)
    of_classes = []
    for places in _blocks(rows, CLASS_ROWS):
        ids = truth.classes.ids[places]
        chosen = (table.class_ids for table in (truth, found))
        of_truth, of_found = (np.isin(column, ids) for column in chosen)
        some = truth.where(of_truth), found.select(of_found)
        if rows[places].max(initial=0) < LARGE_ROWS:
            of_classes.append(_of_classes(*some, ids.tolist(), max_detections, backend))
        else:
            of_classes.append(_of_large_classes(*some, places, max_detections))
    return tuple(np.concatenate(tables, axis=-3) for tables in zip(*of_classes, strict=True))


def _class_rows(truth: Annotations, found: Detections) -> np.ndarray:
    """Return how many boxes and detections each class has [K]."""
    ids = np.concatenate([truth.class_ids[truth.class_ids > 0], found.class_ids])
    return np.bincount(ids, minlength=len(truth.classes) + 1)[1:]


def _of_large_classes(
    truth: Annotations, found: Detections, places: np.ndarray, max_detections: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `_accumulate` does of the classes at some places, by matching them here."""
    caps, tables = (max_detections, USUAL_MAX), []
    for area_px in bootstrap.AREAS.values():
        how = {"max_detections": max(caps), "area_px": area_px}
        matches = bootstrap.matches_anywhere(truth, found, **how)
        for one in map(matches.first, caps):
            pair = bootstrap.precision_recall(one)[places], bootstrap.recalls(one)[places]
            tables.append([np.moveaxis(np.nan_to_num(table, nan=-1), 0, -1) for table in pair])
    shape = len(bootstrap.AREAS), len(caps)
    stacked = (np.stack(of_caps, axis=-1) for of_caps in zip(*tables, strict=True))
    precision, recall = (table.reshape(*table.shape[:-1], *shape) for table in stacked)
    return precision, recall


def _blocks(counts: np.ndarray, most: int) -> list[np.ndarray]:
    """Return the places of counts [N] in successive parts, each of some `most` or of one place."""
    number = np.cumsum(counts) // most
    return np.split(np.arange(len(counts)), np.flatnonzero(np.diff(number)) + 1)


def _of_classes(
    truth: Annotations, found: Detections, ids: list[int], max_detections: int, backend: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `_accumulate` does of some classes.

    Images are matched some at a time: COCOeval takes dictionaries, which are large.
    """
    caps = sorted({max_detections, USUAL_MAX})  # COCOeval wants them rising
    counts = np.diff(truth.offsets) + np.bincount(found.image_index, minlength=len(truth))
    _, eval_class, matches = BACKENDS[backend]
    # pycocotools prints its progress.
    with without_collector(), contextlib.redirect_stdout(io.StringIO()):
        parts = []
        for images in _blocks(counts, IMAGE_ROWS):
            evaluation = eval_class(*_tables(truth, found, images, backend), iouType="bbox")
            evaluation.separate_eval = True  # of faster-coco-eval: keep the matches of the images
            given = evaluation.params
            given.catIds, given.maxDets = ids, caps
            evaluation.evaluate()
            parts.append((len(images), getattr(evaluation, matches)))
        joined = [
            one
            for place in range(len(ids) * len(given.areaRng))
            for count, of_part in parts
            for one in of_part[place * count : (place + 1) * count]
        ]
        parts.clear()
        setattr(evaluation, matches, joined)
        for given in (evaluation.params, evaluation._paramsEval):
            given.imgIds = list(range(1, len(truth) + 1))
        evaluation.accumulate()
    places = [caps.index(cap) for cap in (max_detections, USUAL_MAX)]
    return tuple(evaluation.eval[name][..., places] for name in ("precision", "recall"))


def _tables(truth: Annotations, found: Detections, images: np.ndarray, backend: str) -> list:
    """Return some images' ground truth and detections as the backend's objects."""
    truth, found, first = truth.of_images(images), found.of_images(images), int(images[:1].sum())
    # COCOeval takes equal scores in the order of image ids: here that of the table, which is the
    # order of ids of the COCO file it was read from, or that of sorted names.
    names = tuple(f"{place:09d}" for place in range(len(truth)))
    named = replace(truth, names=names, extra={})  # ignored rows are crowds
    dataset = coco_format.to_coco(named, first_image_id=first + 1)
    ids = range(first + 1, first + len(truth) + 1)
    # By hand, since loadRes refuses an empty list; COCOeval takes no arrays.
    entries = list(coco_format.detection_entries(found, ids))
    tables = [BACKENDS[backend][0](), BACKENDS[backend][0]()]
    for table, rows in zip(tables, (dataset["annotations"], entries), strict=True):
        table.dataset = dataset | {"annotations": rows}
        table.createIndex()
    return tables
