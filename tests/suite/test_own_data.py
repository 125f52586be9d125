"""A data set with classes of its own as COCO, YOLO and VOC: the same figures, in its own words."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from own import OWN, SPLITS, drawn, finished, write
from tiny import Run, open_notebook

from dmnet_lib.core import files
from dmnet_lib.core.annotations import Annotations, merge_classes
from dmnet_lib.core.classes import Classes
from dmnet_lib.data import datasets

AS_BEFORE = "car: car + van, pedestrian, people"
BEFORE = {"boat": "car", "buoy": "pedestrian", "swimmer": "people"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("own")
    given = drawn(home / "scenes", 4, 2, 3)
    kinds = ("coco", "yolo", "voc")
    roots = {k: write(home / k, k, given, lambda one: merge_classes(one, OWN)) for k in kinds}
    return {**roots, "visdrone": write(home / "visdrone", "visdrone", given, lambda one: one)}


@pytest.fixture(scope="module")
def runs(
    data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> dict[str, Run]:
    """A run on each kind of data; unless all are asked for, on YOLO's and without a network."""
    home, classes = tmp_path_factory.mktemp("runs"), {"visdrone": AS_BEFORE}
    if not pytestconfig.getoption("--thorough"):
        return {"yolo": finished(home, "yolo", data["yolo"], until="01_density_ground_truth")}
    return {kind: finished(home, kind, root, classes.get(kind, "")) for kind, root in data.items()}


def metrics(run: Run, stage: str) -> dict:
    """What a stage measured, with the classes' names of before."""
    text = json.dumps(run.metrics(stage))
    for name, before in BEFORE.items():
        text = text.replace(name, before)
    return json.loads(text)


def test_the_same_tables_come_from_every_kind(data: dict[str, Path]) -> None:
    for split in SPLITS:
        tables = {
            kind: datasets.load(root, split, kind=kind, classes=AS_BEFORE * (kind == "visdrone"))
            for kind, root in data.items()
        }
        first = tables["coco"].annotations
        assert first.classes.names == tuple(BEFORE)
        assert tables["visdrone"].annotations.classes.names == tuple(BEFORE.values())
        for one in (found.annotations for found in tables.values()):
            assert one.names == first.names
            assert one.boxes_xywh.dtype == first.boxes_xywh.dtype
            for part in ("sizes_wh", "offsets", "boxes_xywh", "class_ids", "ignored"):
                np.testing.assert_array_equal(getattr(one, part), getattr(first, part))
            assert one.is_object.all()


@pytest.mark.thorough
@pytest.mark.parametrize("stage", ["00", "01", "02", "03", "04", "05", "06"])
def test_figures_do_not_depend_on_the_kind_nor_on_names(runs: dict[str, Run], stage: str) -> None:
    (stage,) = {path.name for path in runs["coco"].home.glob(f"{stage}_*")}
    wanted = metrics(runs["coco"], stage)
    kinds = ["yolo", "voc"] if stage[:2] == "04" else ["yolo", "voc", "visdrone"]
    for kind in kinds:  # but for 04, which writes VisDrone's text where it has the classes
        assert metrics(runs[kind], stage) == wanted


def test_reports_name_the_data_s_own_classes(runs: dict[str, Run]) -> None:
    for run in (run for kind, run in runs.items() if kind != "visdrone"):
        assert (run.home / "report.html").is_file()
        figures = {"00_dataset": "class_sizes", "06_evaluation": "classes"}
        for stage, figure in [*figures.items()][: len(runs)]:
            text = (run.folder(stage) / "figures" / f"{figure}.csv").read_text()
            assert all(name in text for name in BEFORE)
        for path in run.home.glob("*/*/figures/*.csv"):
            assert not re.search("pedestrian|people|tricycle", path.read_text()), path


def test_a_run_on_own_data_is_opened_in_notebooks(
    runs: dict[str, Run], data: dict[str, Path]
) -> None:
    """03 and 06 where all kinds are asked for, and of the short run 01."""
    run = runs["yolo"]
    stages = [s for s in ("03_density_crops", "06_evaluation") if (run.home / s).exists()]
    for stage in stages or ["01_density_ground_truth"]:
        told, fault = open_notebook(run.home.parent, stage, "-p", "experiment", "yolo")
        assert fault == ""
        assert told.startswith(f"run yolo: yolo in {data['yolo']}; builds on 00_dataset (")
        opened = files.read_json(run.home / stage / "interactive" / "metrics.json")
        for name in ("crops", "objects", "verdict"):
            assert opened.get(name) == run.metrics(stage).get(name)


@pytest.mark.thorough
@pytest.mark.parametrize("count", [1, 80])
def test_one_class_and_eighty_on_six_images(tmp_path: Path, count: int) -> None:
    names = Classes(tuple(f"kind {number:02d}" for number in range(count)))

    def change(table: Annotations) -> Annotations:
        class_ids = np.arange(len(table.class_ids)) % count + 1
        return replace(table, class_ids=class_ids, classes=names)

    root = write(tmp_path / "data", "coco", drawn(tmp_path / "scenes", 2, 2, 2), change)
    run = finished(tmp_path, "coco", root)
    assert (run.home / "report.html").is_file()
    for row in run.metrics("06_evaluation")["strategies"].values():
        assert {*row["per_class"]} <= {*names}
        assert len(row["per_class"]) >= count // 2
