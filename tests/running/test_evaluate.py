"""`dmnet evaluate`: figures and notes for what can be scored, one line for what cannot."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import JPEG

from dmnet_lib.core import files
from dmnet_lib.core.annotations import merge_classes
from dmnet_lib.core.boxes import xywh_to_xyxy
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.data import datasets
from dmnet_lib.data.formats import results
from dmnet_lib.data.formats.visdrone import CATEGORY_NAMES, VISDRONE, format_rows
from dmnet_lib.detection import strategies
from dmnet_lib.detection.strategies import Outcome, described
from dmnet_lib.evaluation import coco
from dmnet_lib.running import cli

SIZES = {"a": [400, 300], "b": [400, 300], "empty": [400, 300]}
ROWS = {
    "a": [[10, 10, 40, 40, 1, 4, 0, 0], [100, 90, 20, 10, 1, 1, 1, 2], [60, 60, 9, 9, 1, 10, 0, 0]],
    "b": [[10, 10, 8, 8, 1, 4, 0, 0], [200, 100, 150, 150, 0, 0, 0, 0], [90, 9, 9, 9, 0, 11, 0, 0]],
    "empty": [],
}
MANY_IMAGES, BOXES_EACH, MANY_MEMORY = 5000, 500, 2 * 10**9
PERFECT = [(name, row) for name, rows in ROWS.items() for row in rows if row[4]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A split `val` of three images without pixels, and its COCO json with odd ids."""
    for name, rows in ROWS.items():
        text = format_rows(np.array(rows))
        files.write_text(tmp_path / "val" / "annotations" / f"{name}.txt", text)
    files.write_json(tmp_path / "sizes.json", SIZES)
    files.write_json(tmp_path / "val.json", odd_coco())
    return tmp_path


def odd_coco() -> dict:
    """The split as another program may have it: ids of images, rows and classes as they come."""
    ids = {"empty": 7, "b": 0, "a": 900}
    names = [*VISDRONE.names[::-1], "others"]
    rows = [(name, row) for name, rows in ROWS.items() for row in rows if row[5]]
    return {
        "images": [
            {"id": i, "file_name": f"val/{n}.jpg", "width": 400, "height": 300}
            for n, i in ids.items()
        ],
        "annotations": [
            {
                "id": place, "image_id": ids[name], "bbox": row[:4], "iscrowd": 0, "area": 1,
                "category_id": 50 + names.index(CATEGORY_NAMES[row[5]]),
            }
            for place, (name, row) in enumerate(rows)
        ],
        "categories": [{"id": 50 + n, "name": name} for n, name in enumerate(names)],
    }  # fmt: skip


def write_results(root: Path, rows: list[tuple], **changes: object) -> Path:
    """COCO results of (image, VisDrone row), classes from 1."""
    entries = [
        {"image_id": name, "category_id": row[5], "bbox": row[:4], "score": 0.9 - n / 100} | changes
        for n, (name, row) in enumerate(rows)
    ]
    return files.write_json(root / "found.json", entries)


def arguments(root: Path, found: Path, *more: str, truth: str = "") -> list[object]:
    """The command on the split `val`, or on a file of truth, by COCO's protocol unless told."""
    given = ["--ground-truth", root / truth]
    if not truth:
        given += ["--split", "val", "--image-sizes", root / "sizes.json"]
    if "--protocol" not in more:
        given += ["--protocol", "coco"]
    out = root / "out" / "metrics.json"
    return ["evaluate", *given, "--detections", found, "--out", out, *more]


def evaluate(root: Path, found: Path, *more: str, truth: str = "") -> dict:
    """Run the command; return metrics.json."""
    assert cli.main([*map(str, arguments(root, found, *more, truth=truth))]) == 0
    return json.loads((root / "out" / "metrics.json").read_text())


@pytest.mark.parametrize(("protocol", "truth"), [("visdrone", ""), ("coco", "val.json")])
@pytest.mark.parametrize("found", ["ids", "names", "text", "zip"])
def test_a_perfect_set_scores_1_whatever_its_ids(root, protocol, truth, found) -> None:
    more = ["--protocol", protocol]
    if found == "ids":  # those of val.json: images 0 and 900, classes 50 to 59 in another order
        value = odd_coco()
        kept = [one for one in value["annotations"] if one["category_id"] < 60]
        entries = [{k: one[k] for k in ("image_id", "category_id", "bbox")} for one in kept]
        path = files.write_json(root / "found.json", [one | {"score": 0.5} for one in entries])
        more += [] if truth else ["--images", str(root / "val.json")]
    elif found == "names":
        path = write_results(root, PERFECT)
        more += ["--first-class", "1"]
    else:
        path = root / ("found" if found == "text" else "found.zip")
        source = write_results(root, PERFECT)
        results.write(path, results.read(source, tuple(ROWS), VISDRONE)[0])
    metrics = evaluate(root, path, *more, truth=truth)
    assert metrics["AP"] == pytest.approx(1)
    assert sorted(metrics["per_class"]) == ["car", "motor", "pedestrian"]
    assert (metrics["images"], metrics["boxes"], metrics["detections"]) == (3, 4, 4)


@pytest.mark.parametrize("source", ["val", "val.json", "merged"])
def test_published_detections_score_as_the_run_says(root: Path, source: str) -> None:
    """By ids of the data's own COCO file; without one, or with merged classes, as converted."""
    classes = ["--classes", "vehicle: car + van, motor"] if source == "merged" else []
    if source == "val":
        split = datasets.read(root, split="val", sizes={n: tuple(wh) for n, wh in SIZES.items()})
    else:
        split = datasets.read(root / "val.json")
        split = split.of(merge_classes(split.annotations, "".join(classes[1:])))
    table, name = split.annotations, "planned mcnn 6"
    objects = table.where(table.is_object)
    boxes_xyxy = xywh_to_xyxy(objects.boxes_xywh) + np.array([0, 0, 3.25, 0])
    scores = np.linspace(0.9, 0.3, len(boxes_xyxy))
    found = Detections(table.names, boxes_xyxy, scores, objects.class_ids, objects.image_index)
    outcome = Outcome(described([name])[name], found, Regions.from_lists([[]] * 3), 1.0, 1.0)
    strategies.publish(root, {name: outcome}, split)
    if truth := {"val": "val", "merged": "val.json"}.get(source):
        given = ["--split", "val", "--image-sizes", root / "sizes.json"] if truth == "val" else []
        given = ["convert", root if given else root / truth, *given, "--to", "coco", *classes]
        assert cli.main([*map(str, given), "--out", str(root / "truth.json")]) == 0
    path = root / "detections" / "planned_mcnn_6.json"
    metrics = evaluate(root, path, truth="truth.json" if truth else "val.json")
    assert 0.1 < metrics["AP"] < 1
    assert metrics["AP"] == pytest.approx(coco.evaluate(table, found)["AP"], abs=1e-12)
    category = files.read_json(path)[0]["category_id"]
    assert (category >= 50) == (source == "val.json")


@pytest.mark.parametrize(
    ("protocol", "named"), [("visdrone", "dmnet_lib "), ("coco", "faster-coco-eval ")]
)
def test_metrics_say_what_they_are(root, protocol, named, capsys) -> None:
    metrics = evaluate(root, write_results(root, PERFECT), "--protocol", protocol)
    assert metrics["protocol"] == protocol
    assert metrics["backend"].startswith(named)
    assert (metrics["max_detections"], metrics["split"]) == (500, "val")
    assert metrics["notes"] == [
        "category ids count the classes from 1 (pedestrian)",
        "1 of 3 images have no detection: empty",
    ]
    said = capsys.readouterr().out
    for words in (
        f"{protocol} protocol, {named}",
        "val: 3 images, 4 boxes, 4 detections",
        "100.00",
    ):
        assert words in said
    assert said.splitlines()[-1].endswith("metrics.json  3 classes, 2 notes")


def test_any_names_of_classes_stand_in_an_even_table(root, tmp_path, capsys) -> None:
    value = json.loads((root / "val.json").read_text())
    for category in value["categories"]:
        category["name"] = f"{category['name']} of a rather long name"
    truth = files.write_json(tmp_path / "long.json", value)
    rows = [(name, [*row[:5], 60 - row[5]]) for name, row in PERFECT]
    metrics = evaluate(root, write_results(root, rows), truth=str(truth))
    assert metrics["AP"] == pytest.approx(3 / 4)  # "others …" is a class like any
    assert "motor of a rather long name" in metrics["per_class"]
    rows = capsys.readouterr().out.splitlines()[1:-1]
    assert len({len(row) for row in rows if not row.startswith("note")}) == 1


def test_coco_has_its_figures_at_100_beside_those_at_the_cap(root) -> None:
    rows = [("a", [*row[:4], 0, 4]) for row in ROWS["a"]] + PERFECT
    metrics = evaluate(root, write_results(root, rows), "--max-detections", "1")
    assert metrics["max_detections"] == 1
    assert metrics["at_100"]["AP"] < metrics["AP"] == pytest.approx(1)
    slow = evaluate(root, root / "found.json", "--max-detections", "1", "--backend", "pycocotools")
    assert slow["backend"].startswith("pycocotools ")
    assert slow["at_100"] == pytest.approx(metrics["at_100"], abs=1e-9)


def test_images_may_be_chosen(root) -> None:
    found = write_results(root, PERFECT[:3])
    assert evaluate(root, found)["images"] == 3
    only = evaluate(root, found, "--only-detected")
    assert (only["images"], only["AP"]) == (1, pytest.approx(1))
    assert "1 of 3 images scored: those with a detection" in only["notes"]
    (root / "names.txt").write_text("b\nempty\n")
    named = evaluate(root, found, "--names", str(root / "names.txt"))
    assert (named["images"], named["detections"], named["AP"]) == (2, 0, 0)


@pytest.mark.parametrize("protocol", ["visdrone", "coco"])
def test_nothing_found_scores_0_and_no_image_scores_nothing(root, protocol) -> None:
    found = write_results(root, [])
    given = ["--protocol", protocol, "--max-detections", "500"]
    assert evaluate(root, found, *given)["AP"] == 0
    none = evaluate(root, found, *given, "--only-detected")
    assert (none["images"], none["AP"]) == (0, None)


def test_official_scores_as_the_released_scripts_did(root) -> None:
    stray = [("empty", [1, 1, 9, 9, 1, 4]), ("b", [210, 110, 30, 30, 1, 4])]
    found = write_results(root, stray + PERFECT)
    corrected, official = (evaluate(root, found, "--profile", n) for n in ("corrected", "official"))
    assert (corrected["images"], corrected["max_detections"]) == (3, 500)
    assert (official["images"], official["max_detections"]) == (2, 100)
    assert official["empty_images"] == "left_out"
    assert "left out 1 images without a box" in official["notes"]
    one = evaluate(root, found, "--set", "empty_images=left_out")
    assert one["AP"] == pytest.approx(1)  # the stray one in the ignored region counts as nothing
    two = evaluate(root, found, "--set", "ignored_regions=background")
    assert two["AP"] < corrected["AP"] < 1


def test_files_not_sorted_by_score_are_noted(root) -> None:
    (root / "text").mkdir()
    line = "{},10,8,8,{},4,-1,-1\n"
    (root / "text" / "b.txt").write_text(line.format(200, 0.1) + line.format(10, 0.9))
    metrics = evaluate(root, root / "text", "--protocol", "visdrone")
    assert any("not sorted" in note for note in metrics["notes"])
    assert (metrics["AR1"], metrics["AR10"]) == (0, pytest.approx(1 / 4))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("--protocol visdrone --profile official", "the visdrone protocol has rules of its own"),
        ("--protocol visdrone --max-detections 9", "the visdrone protocol has rules of its own"),
        ("--set rows=objects", "--set rows: a rule of another command"),
        ("--images found.json", "not a COCO file"),
        ("--names sizes.json", "expected stems of the ground truth, one a line"),
        ("--out val", "val: is a folder; --out takes the metrics file"),
        ("--split test", "no folder for split 'test'"),
        ("--detections none.json", "none.json: no such file"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(root, monkeypatch, refused, more, says) -> None:
    monkeypatch.chdir(root)
    assert says in refused(*arguments(root, write_results(root, PERFECT), *more.split()))


def test_a_folder_of_several_needs_a_split(root, refused) -> None:
    files.write_text(root / "train" / "annotations" / "a.txt", "")
    told = refused(*arguments(root, write_results(root, PERFECT), truth="."))
    assert "holds train, val; say which with --split" in told


@pytest.mark.parametrize("protocol", ["coco", "visdrone"])
def test_boxes_with_fractions_are_scored_as_they_are(root, protocol) -> None:
    """Small boxes of part pixels: rounded, the same boxes would no longer score 1."""
    truth = odd_coco()
    for entry in truth["annotations"]:
        entry["bbox"] = [side + 0.4 for side in entry["bbox"]]
    files.write_json(root / "val.json", truth)
    shifted = [(name, [*(s + 0.4 for s in row[:4]), *row[4:]]) for name, row in PERFECT]
    found = write_results(root, shifted)
    more = ("--protocol", protocol, "--first-class", "1", "--only-detected")
    metrics = evaluate(root, found, *more, truth="val.json")
    assert metrics["AP"] == 1


def test_names_of_images_may_hold_blanks_and_backslashes(tmp_path: Path, said: Callable) -> None:
    entries = [{"id": n, "file_name": name, "width": 100, "height": 80}
               for n, name in enumerate((r"day 1\a b.png", "c.png"), 1)]  # fmt: skip
    boxes = [{"id": n, "image_id": n, "category_id": 1, "bbox": [1, 1, 20, 20]} for n in (1, 2)]
    one = [{"id": 1, "name": "car"}]
    truth = {"images": entries, "annotations": boxes, "categories": one}
    files.write_json(tmp_path / "truth.json", truth)
    files.write_json(tmp_path / "found.json", [boxes[0] | {"score": 0.5}])
    files.write_text(tmp_path / "names.txt", "\na b\n")
    places = {"ground-truth": "truth.json", "detections": "found.json", "names": "names.txt"}
    given = [word for name, place in places.items() for word in (f"--{name}", tmp_path / place)]
    lines = said("evaluate", *given, "--protocol", "coco", "--out", tmp_path / "metrics.json")
    assert "note: 1 of 2 images scored: those of names.txt" in lines
    for name in (r"day 1\a b.png", "day 1/a b.png"):  # as it is called, or as Windows means it
        files.write_bytes(tmp_path / "images" / name, JPEG)
        assert datasets.read(tmp_path / "truth.json").images.paths[0] == tmp_path / "images" / name
        (tmp_path / "images" / name).unlink()


def write_many(home: Path) -> None:
    """Write the ground truth and the detections of very many boxes of one class."""
    rng, around = np.random.default_rng(0), BOXES_EACH
    listed = ",".join(f'{{"id":{n},"file_name":"{n}.jpg","width":2000,"height":1500}}'
                      for n in range(MANY_IMAGES))  # fmt: skip
    row = '{"image_id":%d,"category_id":1,"bbox":[%d,%d,%d,%d]%s}'
    with (home / "truth.json").open("w") as truth, (home / "found.json").open("w") as found:
        truth.write(f'{{"categories":[{{"id":1,"name":"a"}}],"images":[{listed}],"annotations":[')
        found.write("[")
        for n in range(MANY_IMAGES):
            xywh = rng.integers((0, 0, 5, 5), (1400, 1400, 120, 120), (around, 4))
            xywh[:, 2:] += 1
            scores = [f',"score":{score:.3f}' for score in rng.random(around)]
            moved = xywh + rng.integers(-1, 2, (around, 4))
            for stream, rows, rest in ((truth, xywh, [""] * around), (found, moved, scores)):
                some = (row % (n, *box, more) for box, more in zip(rows, rest, strict=True))
                stream.write("," * (n > 0) + ",".join(some))
        truth.write("]}")
        found.write("]")


@pytest.mark.thorough  # minutes
def test_millions_of_boxes_of_one_class_have_room(tmp_path: Path) -> None:
    write_many(tmp_path)
    for protocol in ("visdrone", "coco"):
        given = "--ground-truth", tmp_path / "truth.json", "--detections", tmp_path / "found.json"
        out = "--protocol", protocol, "--out", tmp_path / f"{protocol}.json"
        command = [sys.executable, "-m", "dmnet_lib.running.cli", "evaluate", *given, *out]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = status
        assert (status, used.ru_maxrss << 10 < MANY_MEMORY) == (0, True), protocol
        found = files.read_json(tmp_path / f"{protocol}.json")
        assert found["boxes"] == MANY_IMAGES * BOXES_EACH and found["AP50"] > 0.5
