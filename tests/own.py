"""A small data set with classes of its own, in the usual layouts, and an experiment on it."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from tiny import Run

from dmnet_lib.core import files
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.data import datasets, scenes
from dmnet_lib.data.formats import coco, visdrone, voc, yolo
from dmnet_lib.data.splits import Split
from dmnet_lib.running import runner

SPLITS = scenes.SPLITS
OWN = "boat: car + van, buoy: pedestrian, swimmer: people"
FIVE_LINES = (
    "# Do classes of one's own go all the way?\n"
    'common: {{dataset: {kind}, data_root: "{root}", classes: "{classes}"}}\n'
    "02_mcnn_training: {{steps: 30, evaluate_every: 15}}\n"
    "05_fused_detection: {{steps: 24, batch_size: 4, evaluate_every: 12, "
    'budgets: "2, 1, 0.2Mpx", grids: "2x3", tiles_px: "640"}}\n'
    "06_evaluation: {{resamples: 100}}\n"
)
Given = dict[str, Split]


def drawn(root: Path, train: int, val: int, test: int) -> Given:
    """Scenes with the objects alone that count, of four classes: YOLO holds nothing else."""
    scenes.write(root, train=train, val=val, test=test, seed=0)
    found = {split: datasets.load(root, split) for split in SPLITS}
    kept = {}
    for split, one in found.items():
        table = one.annotations
        wanted = [table.classes.id(name) for name in ("car", "van", "pedestrian", "people")]
        rows = table.is_object & np.isin(table.class_ids, wanted)
        kept[split] = one.of(replace(table.where(rows), extra={}))
    return kept


def write(
    root: Path, kind: str, given: Given, change: Callable[[Annotations], Annotations]
) -> Path:
    """Write splits in a usual layout of a kind, with changed annotations."""
    for split, found in given.items():
        table, home = change(found.annotations), root / split
        images = root / "images" / split if kind == "coco" else home / "images"
        images.mkdir(parents=True)
        for path in found.images.paths:
            shutil.copy(path, images)
        if kind == "coco":
            value = coco.to_coco(table, images=found.entries, first_image_id=0)
            for entry in value["categories"]:
                entry["id"] -= 1
            for entry in value["annotations"]:
                entry |= {"id": entry["id"] - 1, "category_id": entry["category_id"] - 1}
            files.write_json(root / "annotations" / f"instances_{split}.json", value)
        elif kind == "yolo":
            yolo.write(home, table)
            shutil.copy(home / "classes.txt", root)
        elif kind == "voc":
            voc.write(home / "Annotations", table)
        else:
            visdrone.write_annotations(home / "annotations", table)
    return root


def finished(home: Path, kind: str, root: Path, classes: str = "", until: str | None = None) -> Run:
    """Run the experiment of five lines on a data set."""
    text = FIVE_LINES.format(kind=kind, root=root, classes=classes)
    assert text.count("\n") == 5
    said: list[str] = []
    path = files.write_text(home / f"{kind}.yaml", text)
    runner.run(path, say=said.append, results=home / "results", until=until)
    return Run(home / "results" / kind, said, [])
