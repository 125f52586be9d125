"""Benchmarks of what comes after detection: fusion of a split, and both protocols."""

import json
from functools import partial
from pathlib import Path

import measure
import numpy as np
import reference
import synthetic
from measure import Plan, Row, Run
from synthetic import Data, Found

SCORED = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def fusion(plan: Plan) -> list[Row]:
    """`dmnet fuse` of val with synthetic boxes, beside a plain NMS of some images."""
    data, found = _made(plan)
    timed = measure.cold({"fuse": partial(_fuse, plan, found, ())}, plan.runs)["fuse"]
    count = min(plan.searched, data.count)
    some = synthetic.detections(
        plan.home / "some_found", data, count, whole=plan.whole, local=plan.local
    )
    joined = _joined(some)
    other = measure.seconds(lambda: [reference.fuse(boxes) for boxes in joined.values()], plan.few)
    _fuse(plan, some, ("--profile", "official"), watched=False)
    _same_fused(plan.home / "out" / "fused.json", joined)
    what = f"`dmnet fuse`: {data.count} images, {plan.whole} + {plan.local:,} synthetic boxes each"
    return [
        Row(what, "s", timed.seconds, other.times(data.count / count),
            f"NMS of an image at a time, by {count} images in memory", timed.peak_mb,
            most=8, most_mb=1000)
    ]  # fmt: skip


def evaluation(plan: Plan) -> list[Row]:
    """`dmnet evaluate` of val with synthetic boxes; pycocotools beside the fast COCO backend."""
    data, found = _made(plan)
    calls = {
        "visdrone": partial(_evaluate, plan, data, found, "visdrone", ()),
        "coco": partial(_evaluate, plan, data, found, "coco", ()),
    }
    timed = measure.cold(calls, plan.runs)
    backend = ("--backend", "pycocotools")
    slow = {"coco": partial(_evaluate, plan, data, found, "coco", backend)}
    other = measure.cold(slow, min(plan.runs, 1))["coco"]  # ten times slower
    fast, plainly = (_figures(plan, name) for name in ("coco", "coco_pycocotools"))
    np.testing.assert_allclose(fast, plainly, rtol=0, atol=1e-9, err_msg="COCO's figures")
    about = f"{data.count} images, {plan.whole} synthetic boxes each"
    visdrone, coco = timed["visdrone"], timed["coco"]
    return [
        Row(f"`dmnet evaluate --protocol visdrone`: {about}", "s", visdrone.seconds,
            peak_mb=visdrone.peak_mb, most=10),
        Row(f"`dmnet evaluate --protocol coco`: {about}", "s", coco.seconds, other.seconds,
            "`--backend pycocotools`", coco.peak_mb, other.peak_mb, most=5),
    ]  # fmt: skip


def _made(plan: Plan) -> tuple[Data, Found]:
    """Return val's annotations and the synthetic detections on it."""
    data = synthetic.annotated(plan.home / "annotated", "val", plan.val)
    home = plan.home / "found"
    return data, synthetic.detections(home, data, data.count, whole=plan.whole, local=plan.local)


def _fuse(plan: Plan, found: Found, rules: tuple[str, ...], watched: bool) -> Run:
    out = plan.fresh("fused.json")
    return measure.dmnet(
        "fuse", "--images", found.images, "--detections", found.whole,
        "--crop-images", found.quarters, "--crop-detections", found.local, "--out", out, *rules,
        watched=watched,
    )  # fmt: skip


def _evaluate(
    plan: Plan, data: Data, found: Found, protocol: str, more: tuple[str, ...], watched: bool
) -> Run:
    root, *rest = data.arguments()
    out = plan.fresh("_".join([protocol, *more[1:]]) + ".json")
    return measure.dmnet(
        "evaluate", "--ground-truth", root, *rest, "--detections", found.whole,
        "--images", found.images, "--protocol", protocol, "--out", out, *more, watched=watched,
    )  # fmt: skip


def _figures(plan: Plan, name: str) -> list[float]:
    metrics = json.loads((plan.home / "out" / f"{name}.json").read_text())
    return [np.nan if metrics[key] is None else metrics[key] for key in SCORED]


def _joined(found: Found) -> dict[int, list[tuple[float, ...]]]:
    """Return each image's (class, x, y, w, h, score): its own, then its quarters', moved."""
    parents = {e["file_name"]: e["id"] for e in json.loads(found.images.read_text())["images"]}
    joined: dict[int, list[tuple[float, ...]]] = {number: [] for number in parents.values()}
    for one in json.loads(found.whole.read_text()):
        joined[one["image_id"]].append((one["category_id"], *one["bbox"], one["score"]))
    quarters = {e["id"]: e for e in json.loads(found.quarters.read_text())["images"]}
    for one in json.loads(found.local.read_text()):
        place, (x, y, w, h) = quarters[one["image_id"]], one["bbox"]
        moved = (x + place["x0"], y + place["y0"], w, h)
        joined[parents[place["parent"]]].append((one["category_id"], *moved, one["score"]))
    return joined


def _same_fused(path: Path, joined: dict[int, list[tuple[float, ...]]]) -> None:
    """Compare the boxes that `dmnet fuse --profile official` kept with the reference's."""
    ours: dict[int, list] = {number: [] for number in joined}
    for one in json.loads(path.read_text()):
        ours[one["image_id"]].append((one["score"], one["category_id"], *one["bbox"]))
    for number, boxes in joined.items():
        wanted = sorted((score, *rest) for *rest, score in reference.fuse(boxes))
        np.testing.assert_allclose(
            sorted(ours[number]), wanted, rtol=0, atol=1e-3, err_msg="fused boxes"
        )
