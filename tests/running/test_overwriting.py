"""All commands that write: their own is replaced, and anything else only where that is said."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_files
import pytest
from PIL import Image

from dmnet_lib.core import files
from dmnet_lib.detection import calibrating
from dmnet_lib.running import cli, parser
from dmnet_lib.running.commands.common import OutOptions

ROWS = "2,2,20,20,1,4,0,0\n30,30,9,9,1,4,0,1\n"
ELSEWHERE = {"report"}  # writes into the results, whose pages bear a sign


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A split `val` of red images, a COCO file and detections of it, a detector, two results."""
    folder, red = tmp_path / "data" / "val", np.full((64, 64, 3), (255, 0, 0), np.uint8)
    for name in "ab":
        files.write_text(folder / "annotations" / f"{name}.txt", ROWS)
        (folder / "images").mkdir(exist_ok=True)
        Image.fromarray(red).save(folder / "images" / f"{name}.jpg")
    assert (
        cli.main(["convert", str(folder), "--to", "coco", "--out", str(tmp_path / "c.json")]) == 0
    )
    row = {"image_id": 1, "category_id": 4, "bbox": [2, 2, 20, 20], "score": 0.5}
    files.write_json(tmp_path / "found.json", [row])
    onnx_files.colours(tmp_path / "d.onnx")
    monkeypatch.setattr(calibrating, "FEWEST", 1)
    return tmp_path


SPLIT = "{0}/data --split val"
FUSED = "fuse --images {0}/c.json --detections {0}/found.json --out {0}/out"
CASES = {  # the command, and files that it writes
    f"crops {SPLIT} --threshold 0.01 --out {{0}}/out": (
        "out/crops.json", "out/images", "out/annotations",
    ),
    f"density {SPLIT} --out {{0}}/out": ("out/density.json", "out/a.npy"),
    f"convert {SPLIT} --to coco --out {{0}}/out.json": ("out.json",),
    f"convert {SPLIT} --to voc --out {{0}}/out/Annotations": (
        "out/Annotations/a.xml", "out/ImageSets/Main/val.txt",
    ),
    f"convert {SPLIT} --to yolo --out {{0}}/out": ("out/labels/a.txt", "out/data.yaml"),
    f"convert {SPLIT} --to visdrone --out {{0}}/out": ("out/annotations/b.txt",),
    f"{FUSED}.json": ("out.json",),
    f"{FUSED}.zip": ("out.zip",),
    FUSED: ("out/a.txt",),
    f"evaluate --ground-truth {SPLIT} --detections {{0}}/found.json --images {{0}}/c.json "
    "--protocol visdrone --out {0}/metrics.json": ("metrics.json",),
    f"data check {SPLIT} --out {{0}}/check.json": ("check.json",),
    "results --out {0}/figures.csv": ("figures.csv",),
    "deviations {0}/data --split val --out {0}/out.json": ("out.json",),
    f"calibrate {SPLIT} --detector {{0}}/d.onnx --classes red:car": (
        "d.recall.json", "d.recall.png",
    ),
    "predict {0}/data --recursive --detector {0}/d.onnx --strategy global --out {0}/out": (
        "out/detections.json", "out/overlays", "out/detections.json.lines",
    ),
    "init {0}/out": ("out/params/tiny.yaml",),
    "compare demo:global demo:native --out {0}/out": ("out/report.html", "out/metrics.json"),
}  # fmt: skip


@pytest.mark.parametrize("command", CASES, ids=lambda text: text.replace("{0}/", ""))
def test_only_what_a_command_made_is_replaced(
    inputs: Path, command: str, said: Callable, refused: Callable
) -> None:
    arguments, paths = command.format(inputs).split(), [inputs / one for one in CASES[command]]
    for path in paths:
        mine = path if path.suffix else path / "mine.txt"
        before = files.write_text(mine, "mine").read_bytes()
        there = sorted(inputs.rglob("*"))
        assert f"{path}: not made by `dmnet {arguments[0]}" in refused(*arguments)
        assert sorted(inputs.rglob("*")) == there and mine.read_bytes() == before
        mine.unlink()
    files.write_text(paths[0], "mine")
    said(*arguments, "--overwrite")
    made = paths[0].read_bytes()
    assert made != b"mine"
    said(*arguments)
    assert paths[0].read_bytes() == made
    paths[0].write_text("changed")
    assert "changed since" in refused(*arguments)


def test_reports_go_anywhere_and_replace_only_pages_of_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Callable, refused: Callable
) -> None:
    """Elsewhere than in the project."""
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(tmp_path / "results"))
    files.write_json(tmp_path / "results" / "x" / "latest.json", {"stages": {}})
    said("report")
    for name in ("index.html", "x/report.html"):
        path = files.write_text(tmp_path / "results" / name, "![mine](docs/figures/a.png)")
        assert f"{path}: not made by dmnet; move it, or `dmnet report" in refused("report")
        assert path.read_text().startswith("![mine]")
        said("report", "--overwrite")
    assert not (tmp_path / "results" / "README.md").exists()  # git's list is `make docs`'s


def test_every_command_that_writes_has_the_option_and_a_case() -> None:
    have = set()
    for name in parser.COMMANDS:
        own = dataclasses.fields(parser.module(name).Options)
        has = any(one.type is OutOptions for one in own)
        files_of = {one.name for one in own if one.type is not bool}  # a flag writes none
        assert has or not {"out", "json"} & files_of, name
        have |= {name} if has else set()
    assert have == {command.split()[0] for command in CASES} | ELSEWHERE
