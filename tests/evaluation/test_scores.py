"""Scores: perfect detections score one, and a subset of a joined split scores by itself."""

from dataclasses import replace

import builders
import numpy as np
import pytest
from builders import car

from dmnet_lib.core.annotations import Annotations, join
from dmnet_lib.core.boxes import xywh_to_xyxy
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.data.splits import Split
from dmnet_lib.detection.strategies import Outcome, described
from dmnet_lib.evaluation import bootstrap
from dmnet_lib.evaluation import scores as scoring
from dmnet_lib.evaluation import words as wording
from dmnet_lib.evaluation.strategy_table import INTERVAL_MEASURES, strategy_table

GRID = {"global": "global", "uniform": "uniform"}


def truth(cars: int = 3, images: int = 4) -> Annotations:
    """Images of 200x100 with so many cars each."""
    rows = [car(20 + 50 * n, 30, 20, 20) for n in range(cars)]
    return builders.table(*[rows] * images, size_wh=(200, 100))


def outcome(
    table: Annotations, name: str = "global", *, every: int = 1, megapixels: float = 0.02
) -> Outcome:
    """Detections of every first, second or n-th object, and one crop an image."""
    rows = slice(None, None, every)
    xyxy = xywh_to_xyxy(table.boxes_xywh[rows]).astype(float)
    columns = (np.linspace(0.9, 0.5, len(xyxy)), table.class_ids[rows], table.image_index[rows])
    found = Detections(table.names, xyxy, *columns)
    crops = Regions.from_lists([[[0, 0, 100, 100]]] * len(table))
    return Outcome(described([name])[name], found, crops, megapixels, 0.1)


def score(table: Annotations, **found: Outcome) -> scoring.Scores:
    rng, records = np.random.default_rng(0), described(found)
    found = {name: replace(one, strategy=records[name]) for name, one in found.items()}
    return scoring.score(found, table, max_detections=500, resamples=50, level=0.9, rng=rng)


def test_no_object_gives_no_figure_and_says_so():
    nothing = truth(cars=0)
    scores = score(nothing, **{name: outcome(nothing) for name in GRID})
    assert strategy_table(scores.strategies)["AP"].isna().all()
    assert scores.strategies["global"]["intervals"]["APs"] == [None, None]


def test_perfect_detections_score_one_and_equal_ones_differ_by_nothing():
    table = truth()
    scores = score(table, **{"global": outcome(table), "uniform": outcome(table)})
    row = strategy_table(scores.strategies).loc["uniform"]
    assert row[["AP", "AP50", "AR500"]].tolist() == pytest.approx([1, 1, 1])
    assert row[["vs_global_difference", "vs_global_low", "vs_global_high"]].tolist() == [0, 0, 0]
    assert np.isnan(row["vs_uniform_low"])
    assert scores.visdrone["global"]["AP"] == pytest.approx(1)
    assert scores.strategies["global"]["per_class"]["car"]["AP"] == pytest.approx(1)


def test_a_strategy_that_misses_most_lies_below_and_its_crops_are_counted():
    table = truth()
    none = replace(outcome(table), regions=Regions.from_lists([[]] * 4))
    found = {"global": none, "uniform": outcome(table, every=3)}
    frame = strategy_table(score(table, **found).strategies)
    assert frame.loc["uniform", "AP"] < 0.4
    assert frame.loc["uniform", "vs_global_high"] < 0
    assert frame["crops_per_image"].tolist() == [0, 1]
    assert np.isnan(frame.loc["global", "containment_rate"])
    assert frame.loc["uniform", "containment_rate"] == pytest.approx(2 / 3)
    assert frame.loc["uniform", "coverage"] == pytest.approx(0.5)


def test_the_shown_table_has_intervals_and_seconds():
    table = truth()
    found = {"global": outcome(table), "uniform": outcome(table, every=3)}
    found["uniform"] = replace(found["uniform"], seconds_per_image=1, time_is_estimated=True)
    scores = score(table, **found)
    shown = scoring.shown_table(strategy_table(scores.strategies), scores)
    assert shown.loc["global", ["APm", "AP vs global"]].tolist() == ["n/a", "n/a"]
    assert shown.loc["uniform", "AP vs global"].startswith("-66.3")
    assert shown["seconds"].tolist() == ["0.10", "1.00 (estimated)"]


def method_scores() -> scoring.Scores:
    """Two grids, two sizes of tiles and two budgets, each with its share of the objects found."""
    table = truth(images=8)
    names = ("global", "uniform 2x2", "uniform 2x3", "sliding 320", "sliding 640",
             "planned oracle 2", "planned oracle 4")  # fmt: skip
    found = {name: outcome(table, every=1 + n % 3) for n, name in enumerate(names)}
    found["planned oracle 2"] = replace(found["planned oracle 2"], predicted_recall=0.75)
    return score(table, **found)


def test_the_default_of_a_method_is_what_others_are_held_against():
    scores = method_scores()
    defaults = {"global": "global", "uniform": "uniform 2x2", "sliding": "sliding 320"}
    assert scores.baselines == defaults
    assert scores.strategies["uniform 2x2"]["vs_uniform"] is None
    assert scores.strategies["uniform 2x3"]["vs_uniform"]["difference"] != 0
    assert scores.strategies["planned oracle 2"]["method"] == "planned oracle"


def test_every_strategy_has_an_interval_that_comes_from_the_same_draws():
    scores = method_scores()
    for name, row in scores.strategies.items():
        for measure in INTERVAL_MEASURES:
            low, high = row["intervals"][measure]
            assert low <= high
            assert scores.samples[name][measure][0] == pytest.approx(row[measure])
    versus = scores.strategies["uniform 2x2"]["vs_global"]["difference"]
    one, other = (scores.samples[name]["AP"][0] for name in ("uniform 2x2", "global"))
    assert versus == pytest.approx(one - other)
    recalls = strategy_table(scores.strategies)["predicted_recall"].dropna().to_dict()
    assert recalls == {"planned oracle 2": 0.75}


def test_images_of_a_subset_are_told_by_their_parts():
    parts = (("train", 2), ("val", 1))
    found = scoring.subset_images(Split("train+val", truth(images=3), parts=parts))
    assert {name: rows.tolist() for name, rows in found.items()} == {"train": [0, 1], "val": [2]}
    assert scoring.subset_tables({"val": np.arange(2)}, None, resamples=9, rng=None) == {}


def test_a_subset_scores_as_its_images_do_by_themselves():
    whole, grids = truth(images=7), ("global", "uniform 2x2")
    keep = np.arange(len(whole.boxes_xywh)) % 5 > 1
    images = {"train": np.arange(4), "val": np.arange(4, 7)}
    crops = Regions(np.array([[0, 0, 100, 100]] * 2), np.array([0, 1]))
    found, last = {}, {}
    for name, rows in zip(grids, (keep, ~keep), strict=True):
        detections = outcome(whole).detections.select(rows)
        found[name] = replace(outcome(whole), detections=detections, regions=crops)
        last[name] = replace(found[name], detections=detections.of_images(images["val"]))
    scores = score(whole, **found)
    rng = np.random.default_rng(0)
    tables = scoring.subset_tables(images, scores, resamples=30, rng=rng)
    alone = join([whole.image(place) for place in images["val"]])
    expected = score(alone, **last).strategies
    for name in grids:
        for measure in ("AP", "APs"):
            assert tables["val"].loc[name, measure] == pytest.approx(expected[name][measure])
    assert tables["train"]["crops_per_image"].tolist() == [0.5, 0.5]
    assert tables["val"]["crops_per_image"].tolist() == [0, 0]


def seeded(table: Annotations, *every: int) -> scoring.Scores:
    """Scores of two strategies over seeds; `uniform` finds every n-th object, n by seed."""
    by_seed = [
        {"global": outcome(table), "uniform": outcome(table, "uniform", every=n, megapixels=n)}
        for n in every
    ]
    rng, how = np.random.default_rng(0), {"max_detections": 500, "resamples": 200, "level": 0.95}
    return scoring.score(by_seed[0], table, rng=rng, further=by_seed[1:], **how)


def test_an_interval_over_seeds_too_is_wider_and_holds_what_lies_between_them():
    table = truth(images=30)
    alone, same, spread = (seeded(table, *every) for every in ((2,), (2, 2, 2), (2, 2, 3)))
    (images, equal, whole) = (
        one.strategies["uniform"]["vs_global"] for one in (alone, same, spread)
    )
    assert equal == pytest.approx(images)
    by_seed = spread.strategies["uniform"]["AP_by_seed"]
    assert whole["difference"] == pytest.approx(np.mean(by_seed) - 1)
    assert whole["low"] < images["low"] and whole["high"] - whole["low"] > np.ptp(by_seed)
    assert whole["low"] < min(by_seed) - 1 and max(by_seed) - 1 < whole["high"]
    assert spread.strategies["uniform"]["megapixels"] == pytest.approx(7 / 3)
    assert spread.strategies["global"]["intervals"]["AP"] == pytest.approx([1, 1])


def test_the_seeds_part_of_an_interval_varies_as_a_mean_of_seeds_does():
    values = [{"AP": np.full(20_001, AP)} for AP in (0.30, 0.31, 0.35)]
    found = bootstrap.over_seeds(values)["AP"]
    assert found[0] == pytest.approx(0.32)
    expected = np.std([0.30, 0.31, 0.35], ddof=1) / np.sqrt(3)
    assert found[1:].std() == pytest.approx(expected, rel=0.02)


def test_it_is_said_whether_an_interval_covers_the_trainings():
    one, three = (seeded(truth(images=30), *every) for every in ((2,), (2, 2, 3)))
    main = ["global", "uniform"]
    assert "images alone; how far another training seed" in wording.seeds_words(one, main)
    apart, covers = wording.seeds_words(three, main).splitlines()
    assert apart.endswith("apart (`uniform`).")
    assert covers == "Intervals cover images and 3 training seeds."
    assert wording.sample(three.groups, three.seeds) == "30 images and 3 training seeds"


def test_frames_of_a_sequence_are_resampled_together():
    names = tuple(
        f"000000{sequence}_0000{frame}_d_0000001" for sequence in (1, 2) for frame in "12"
    )
    table = replace(truth(), names=names)
    found = {"global": outcome(table, every=3), "uniform": outcome(table)}
    scores = score(table, **found)
    assert wording.sample(scores.groups) == "2 sequences (4 images)"
    assert len(set(scores.samples["global"]["AP"])) <= 3  # both, or twice one of them
    alone = {"val": np.arange(2), "train": np.arange(2, 4)}
    rng = np.random.default_rng(0)
    tables = scoring.subset_tables(alone, scores, resamples=30, rng=rng)
    assert tables["val"].loc["uniform", "vs_global_difference"] > 0
    assert np.isnan(tables["val"].loc["uniform", "vs_global_low"])  # one sequence: no interval


def test_words_say_what_a_subset_was_used_for():
    splits = {"train_split": "train", "val_split": "train+val", "recall_curve_split": "train"}
    groups = {"train": np.arange(30), "val": np.arange(30) // 5, "test-dev": np.zeros(2)}
    said = wording.subset_roles(groups, **splits)
    assert said.splitlines() == [
        "`train`, 30 images: MCNN was trained on it, and MCNN's weights and the thresholds were "
        "chosen on it, and the recall curve was measured on it: figures are too good.",
        "`val`, 6 sequences (30 images): MCNN's weights and the thresholds were chosen on it: "
        "figures are too good. Over so few sequences an interval is too narrow.",
        "`test-dev`, 1 sequence (2 images): not used before. Over so few images the interval "
        "itself is rough. Over so few sequences an interval is too narrow.",
    ]


def test_pairs_are_all_differences_but_of_upper_bounds() -> None:
    table = truth()
    found = {name: outcome(table, name, every=1 + place) for place, name in
             enumerate(("global", "uniform", "density oracle", "native"))}  # fmt: skip
    scores = score(table, **found)
    pairs = scores.pairs()
    assert {one: [*others] for one, others in pairs.items()} == {
        "global": ["uniform", "native"], "uniform": ["native"],
    }  # fmt: skip
    assert pairs["global"]["native"] == [*scores.difference("global", "native").columns().values()]
