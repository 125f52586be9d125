"""Parts: a part's table is that of its images alone, and words say what learned from it."""

from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core.annotations import Annotations, from_rows, join
from dmnet_lib.core.boxes import xywh_to_xyxy
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.data.splits import Images, Split
from dmnet_lib.detection.strategies import Outcome, described
from dmnet_lib.evaluation import scores as scoring
from dmnet_lib.evaluation import subsets

COUNTS = {"max_detections": 500, "resamples": 30}
GRIDS = ("global", "uniform 2x2")


def truth(images: int, stem: str) -> Annotations:
    rows = [np.array([[20 + 50 * n, 30, 20, 20, 1, 4, 0, 0] for n in range(3)])] * images
    return from_rows([f"{stem}{n}" for n in range(images)], np.array([[200, 100]] * images), rows)


def outcome(table: Annotations, keep: np.ndarray, name: str = "global") -> Outcome:
    """Detections of the kept rows, and one crop in each of the first two images."""
    xyxy = xywh_to_xyxy(table.boxes_xywh).astype(float)
    scores = np.linspace(0.9, 0.5, len(xyxy))
    found = Detections(table.names, xyxy, scores, table.class_ids, table.image_index)
    crops = Regions(np.array([[0, 0, 100, 100]] * 2), np.array([0, 1]))
    return Outcome(described([name])[name], found.select(keep), crops, 0.02, 0.1)


def test_one_part_is_no_part():
    assert subsets.tables({}, truth(2, "a"), {"val": np.arange(2)}, None, rng=None, **COUNTS) == {}
    assert subsets.shown({}, {}, []) == subsets.ALONE


def test_positions_follow_the_folders_of_the_images():
    folders = ("VisDrone2019-DET-train", "VisDrone2019-DET-val", "VisDrone2019-DET-train")
    paths = tuple(Path(f"/data/{folder}/images/{n}.jpg") for n, folder in enumerate(folders))
    found = subsets.positions(Split("train+val", truth(3, "a"), Images(paths)))
    assert {name: rows.tolist() for name, rows in found.items()} == {"train": [0, 2], "val": [1]}


def test_a_part_scores_as_its_images_do_alone():
    both = join([truth(4, "a"), truth(3, "b")])
    keep = np.arange(len(both.boxes_xywh)) % 5 > 1
    found = {"global": outcome(both, keep), "uniform 2x2": outcome(both, ~keep, "uniform 2x2")}
    rng = np.random.default_rng(0)
    scores = scoring.score(found, both, level=0.9, rng=rng, **COUNTS)
    images = {"train": np.arange(4), "val": np.arange(4, 7)}
    made = subsets.tables(found, both, images, scores, rng=rng, **COUNTS)
    alone = truth(3, "b")
    last = keep[-len(alone.boxes_xywh) :]
    expected = scoring.score(
        {"global": outcome(alone, last), "uniform 2x2": outcome(alone, ~last, "uniform 2x2")},
        alone, level=0.9, rng=rng, **COUNTS,
    )  # fmt: skip
    for name in GRIDS:
        assert made["val"].loc[name, "AP"] == pytest.approx(expected.strategies[name]["AP"])
        assert made["val"].loc[name, "APs"] == pytest.approx(expected.strategies[name]["APs"])
    assert made["train"]["crops_per_image"].tolist() == [0.5, 0.5]
    assert made["val"]["crops_per_image"].tolist() == [0, 0]
    shown = subsets.shown(made, scores.baselines, GRIDS)
    assert shown.index.tolist() == [(part, name) for part in images for name in GRIDS]
    assert shown.loc[("val", "global"), "AP less global"] == "n/a"


def test_words_say_which_part_was_learned_from():
    words = subsets.words(
        ["train", "val", "test-dev"],
        train_split="train",
        val_split="train+val",
        recall_curve_split="train",
    )
    assert words.splitlines() == [
        "`train`: MCNN learned from these images and MCNN's weights and the thresholds were chosen "
        "on these images and the recall curve was measured on these images: read its figures as "
        "too good.",
        "`val`: MCNN's weights and the thresholds were chosen on these images: read its figures as "
        "too good.",
        "`test-dev`: nothing was learned from these images or chosen on them.",
    ]
