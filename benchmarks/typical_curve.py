"""Labelled images and detectors -> the recall curve that plans where none was measured.

    python benchmarks/typical_curve.py ROOT --split train --classes TEXT --map TEXT MODEL...

Each detector is measured as `dmnet calibrate` does it, and counts as much as any other. The curve,
those it is made of, and how large the objects are go to dmnet_lib/detection/typical.toml. The text
of the classes merges the data's, that of the map says what the detectors' COCO classes are there.
"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from dmnet_lib.core import files
from dmnet_lib.cropping import recall
from dmnet_lib.cropping.recall import Curve
from dmnet_lib.data import datasets
from dmnet_lib.data.splits import Split
from dmnet_lib.density import sizes
from dmnet_lib.density.sizes import EDGES_PX, Bins
from dmnet_lib.detection import calibrating, sources

DIGITS = 4
POINTS_PX = np.geomspace(4, 512, 200)  # sides at which every detector counts


def main() -> None:
    """Measure all detectors and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("root", type=Path)
    add("models", type=Path, nargs="+")
    add("--split", default="train")
    add("--classes", default="", help="merged classes, as in a parameter file")
    add("--map", default="", help="the detectors' classes, and as what they count")
    given = parser.parse_args()
    split = datasets.load(given.root, given.split, classes=given.classes)
    curves = {path.stem: measured(path, split, given.map) for path in given.models}
    for name, curve in (curves | {"typical": typical(list(curves.values()))}).items():
        print(name, rounded(curve))
    files.write_text(sources.TYPICAL, text(curves, sizes.measure(split.annotations, EDGES_PX)))


def measured(path: Path, split: Split, class_map: str) -> Curve:
    """Return the curve of one detector."""
    how = {"model_classes": "coco", "classes": class_map}
    return calibrating.measure(path, split, **how).curve


def typical(curves: list[Curve]) -> Curve:
    """Return the curve that fits the mean of all curves best."""
    return recall.fit(POINTS_PX, np.mean([curve(POINTS_PX) for curve in curves], axis=0))


def text(curves: dict[str, Curve], bins: Bins) -> str:
    """Return the file: the typical curve, sizes, the detectors, and the curve of each."""
    tables = {"curve": rounded(typical(list(curves.values())))}
    # Alike along both axes, as objects lie at any angle where cameras look down.
    alike = replace(bins, reach_xy=np.repeat(bins.reach_xy.mean(axis=1, keepdims=True), 2, axis=1))
    tables["sizes"] = {name: np.round(row, 2).tolist() for name, row in vars(alike).items()}
    tables |= {f"measured.{name}": rounded(curve) for name, curve in curves.items()}
    lines = ["# Written by benchmarks/typical_curve.py: recall curves on photographs from drones.",
             f"detectors = {list(curves)}".replace("'", '"')]  # fmt: skip
    for name, values in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {value}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def rounded(curve: Curve) -> dict[str, float]:
    """Return a curve's values with few digits."""
    return {name: round(value, DIGITS) for name, value in asdict(curve).items()}


if __name__ == "__main__":
    main()
