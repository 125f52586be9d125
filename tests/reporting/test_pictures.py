"""Pictures of a small run: each image once, over it what every strategy finds."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictured import NAMES, SIZE_WH, judged_run
from PIL import Image

from dmnet_lib.core import files
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.reporting.pages import facts, pages, pictures
from dmnet_lib.reporting.pages.pictures import Judgements


@pytest.fixture
def run(tmp_path: Path) -> ResultFolder:
    return judged_run(tmp_path)


@pytest.fixture
def judged(run: ResultFolder) -> Judgements:
    return pictures.read(run, NAMES, 0.5)


def test_a_picture_is_there_once_with_the_boxes_of_each_strategy(judged: Judgements) -> None:
    picture = judged.picture(0, NAMES)
    image = Image.open(io.BytesIO(base64.b64decode(picture.jpeg)))
    assert image.size == picture.size_wh == SIZE_WH and not picture.is_part
    assert picture.counts["global"] == {"objects": 2, "tp": 1, "fn": 1, "fp": 1}
    found = picture.layers["global"]
    assert found["tp"] == "M10 10h20v20h-20z" and found["fn"] == "M60 10h20v20h-20z"
    assert found["fp"] == "M100 60h20v20h-20z" and found["crops"] == "M0 0h80v60h-80z"
    assert picture.layers["planned mcnn 6"]["fn"] == ""


def test_a_gallery_goes_by_errors_saved_and_shows_an_image_without_objects_first(
    judged: Judgements,
) -> None:
    assert judged.gain("planned mcnn 6", "global").tolist() == [2, 1, 1]
    assert judged.gain("global", "planned mcnn 6").tolist() == [-2, -1, -1]
    assert judged.telling("global", "planned mcnn 6")[0] == 1  # a false box, and no object
    assert sorted(judged.telling("planned mcnn 6", "global")) == [0, 1, 2]


def test_of_a_large_image_the_part_with_most_errors_is_shown(judged: Judgements) -> None:
    picture = judged.picture(0, NAMES, (80, 60))
    assert picture.is_part and picture.size_wh == (80, 60)
    # Missed and false boxes lie around (70, 20) and (110, 70): the window holds the most of them.
    assert "M" in picture.layers["global"]["fn"] and picture.counts["global"]["fp"] == 1


def test_boxes_out_of_sight_are_left_out_and_sides_out_of_sight_stay_so() -> None:
    boxes = np.array([[-50, 10, 20, 20], [200, 0, 210, 9], [5, 5, 6, 300]])
    assert pictures.path(boxes, (100, 100)) == "M-4 10h24v10h-24zM5 5h1v99h-1z"


def test_what_is_not_at_hand_gives_no_pictures(run: ResultFolder, tmp_path: Path) -> None:
    assert pictures.read(run, ["unknown"], 0.5) is None
    assert pictures.read(replace(run, stages={}), NAMES, 0.5) is None
    (tmp_path / "data").rename(tmp_path / "moved")
    assert pictures.read(run, NAMES, 0.5) is None


def test_scenes_that_were_generated_anew_are_not_those_of_the_run(run: ResultFolder) -> None:
    path = run.folder("00_dataset") / "params.yaml"
    path.write_text(path.read_text().replace("dataset: visdrone", "dataset: scenes"))
    assert pictures.read(run, NAMES, 0.5) is None


def test_a_run_says_when_on_what_and_how_long_it_ran(run: ResultFolder) -> None:
    assert facts.read(run).state == "partial: until 05_fused_detection"
    assert facts.read(run).date == "" and facts.read(run).data == "data (visdrone), val"
    folder = run.folder("05_fused_detection")
    (folder / "machine.json").write_text('{"system": "Linux x86_64", "cores": 8, "commit": "abc"}')
    (folder / "notebook.ipynb").write_text("{}")
    about = facts.read(run)
    assert (about.machine, about.commit) == ("Linux x86_64, 8 cores", "abc")
    assert about.date.endswith("UTC") and about.duration == "0 min"


def test_a_gallery_has_the_verdict_s_strategy_whatever_its_setting(run: ResultFolder) -> None:
    rows = {name: {"AP": 0.1, "megapixels": 1.0} for name in NAMES}
    told = {"strategy": "planned mcnn 6", "rival": "global", "sentence": "`a`."}
    metrics = {"strategies": rows, "main": ["global"], "verdict": told}
    folder = run.home / "06_evaluation" / "k"
    files.write_json(folder / "metrics.json", metrics)
    files.write_text(folder / "params.yaml", "seed: 0\n")
    run.with_stage("06_evaluation", "k", {}).write()
    pages.write_experiment(run.home)
    gallery = (run.home / "gallery.html").read_text()
    assert '<option value="1" selected>planned mcnn 6</option>' in gallery
