"""Synthetic scenes -> tests/golden/official_scenes.json: what the released procedure makes of them.

    python benchmarks/official_golden.py

Every number comes from `reference`, none from the library: the tests compare the two.
"""

import argparse
from pathlib import Path

import numpy as np
import reference

from dmnet_lib.core import files
from dmnet_lib.data import scenes

OUT = files.ROOT / "tests" / "golden" / "official_scenes.json"
WINDOW_WH, THRESHOLD, SIGMA_PX, IOU, TOP = (70, 70), 0.08, 15, 0.7, 500
# Points in the corners and on the border; windows that touch by a corner only, or overlap since
# the last ones are moved back; rows that are no object; a box larger than the image.
BY_HAND = {
    "corners": ((500, 333), [
        (-5, -5, 10, 10, 1, 4, 1, 0), (495, 328, 10, 10, 1, 4, 1, 0), (490, 0, 20, 9, 1, 1, 0, 0),
        (0, 330, 3, 3, 1, 10, 0, 2), (249, 331, 2, 2, 1, 2, 0, 0), (0, 0, 501, 40, 1, 6, 0, 0),
    ]),
    "diagonals": ((290, 220), [
        (30, 30, 9, 9, 1, 4, 0, 0), (100, 100, 9, 9, 1, 4, 0, 0), (240, 30, 8, 8, 1, 9, 0, 0),
        (170, 200, 8, 8, 1, 9, 0, 0), (270, 150, 8, 8, 1, 3, 0, 0),
    ]),
    "not-evaluated": ((300, 200), [
        (40, 40, 20, 20, 0, 4, 0, 0), (90, 90, 30, 30, 0, 0, 0, 0), (200, 90, 30, 30, 0, 11, 0, 0),
        (150, 150, 0, 9, 1, 5, 0, 0), (240, 140, 21, 13, 1, 5, 0, 1),
    ]),
}  # fmt: skip


def expected(size_wh: tuple[int, int], rows: list[reference.Row], rng: np.random.Generator) -> dict:
    """Return what the released procedure makes of one val image."""
    objects = reference.objects(rows, drop_score0=True)
    density = reference.density_map(objects, size_wh, sigma_px=SIGMA_PX)
    crops = reference.regions(reference.mask(density, WINDOW_WH, THRESHOLD))
    pixels = np.column_stack([rng.integers(0, side, 30) for side in density.shape])
    return {
        "size_wh": size_wh,
        "rows": rows,
        "sum": float(density.sum(dtype=np.float64)),
        "last_row_sum": float(density[-1].sum()),
        "last_column_sum": float(density[:, -1].sum()),
        "pixels_yx": [[int(y), int(x), float(density[y, x])] for y, x in pixels],
        "window_sums": [
            [round(v, 9) for v in row] for row in reference.window_sums(density, WINDOW_WH)
        ],
        "crops": [{"xyxy": crop, "rows": reference.rows_in_crop(objects, crop)} for crop in crops],
        "coco_boxes": reference.coco_boxes(objects, size_wh),
    }


def detections(rng: np.random.Generator, count: int) -> list[tuple[float, ...]]:
    """Return synthetic (class, x, y, w, h, score) in clumps, no two scores the same."""
    centres = rng.uniform(50, 950, (count // 8, 2))[rng.integers(0, count // 8, count)]
    sides = rng.uniform(8, 60, (count, 2))
    corners = centres + rng.normal(0, 4, (count, 2)) - sides / 2
    scores = rng.permutation(np.linspace(0.01, 0.99, count))
    table = np.column_stack([rng.integers(1, 11, count), corners, sides, scores]).round(4)
    return [(int(row[0]), *row[1:]) for row in table.tolist()]


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    rng = np.random.default_rng(20)
    pictures = dict(BY_HAND)
    for number in range(3):
        made = scenes.scene(np.random.default_rng([7, number]))
        size_wh = made.image.shape[1::-1]
        pictures[f"scene-{number}"] = (size_wh, [tuple(r) for r in made.rows.tolist()])
    fusions = []
    for count, top in ((300, TOP), (120, 40)):
        found = detections(rng, count)
        fusions.append({"top": top, "detections": found,
                        "kept": reference.fuse(found, iou_threshold=IOU, top=top)})  # fmt: skip
    settings = {"window_wh": WINDOW_WH, "threshold": THRESHOLD, "sigma_px": SIGMA_PX, "iou": IOU}
    images = {name: expected(*picture, rng) for name, picture in pictures.items()}
    files.write_json(out, {**settings, "images": images, "fusion": fusions}, indent=None)


if __name__ == "__main__":
    main()
