"""Comparing: what differs between finished experiments, with paired intervals and without."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dmnet_lib.core import files, images, params, provenance
from dmnet_lib.core.files import InputError
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.data import datasets, splits
from dmnet_lib.detection.strategies import Outcome, described, write
from dmnet_lib.evaluation import coco, comparing, experiments
from dmnet_lib.evaluation.difference import NO_INTERVAL, NOT_SIGNIFICANT, SAME, SIGNIFICANT
from dmnet_lib.running import cli

IMAGES, SIDE = 12, 200
BOXES_XYXY = np.array(
    [[10, 10, 30, 30], [60, 60, 110, 110], [120, 20, 140, 50], [20, 120, 60, 180]]
)
CLASS_IDS = np.array([4, 4, 1, 9])


def draw(root: Path, splits: Mapping[str, range], *, shift: int = 0) -> Path:
    """Write splits of grey images, each with four objects, that of image 3 moved by shift."""
    for split, numbers in splits.items():
        folder = root / f"VisDrone2019-DET-{split}"
        for number in numbers:
            moved = BOXES_XYXY[:, :2] + (shift if number == 3 else 0)
            rows = np.column_stack([moved, np.diff(BOXES_XYXY.reshape(-1, 2, 2), axis=1)[:, 0]])
            table = np.column_stack([rows, CLASS_IDS])
            lines = [f"{x},{y},{w},{h},1,{c},0,0\n" for x, y, w, h, c in table]
            files.write_text(folder / "annotations" / f"i{number:02d}.txt", "".join(lines))
            grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
            files.write_bytes(folder / "images" / f"i{number:02d}.jpg", images.encode_jpeg(grey))
    return root


def found(
    names: tuple[str, ...], *, shift: float = 0.0, missed: tuple[int, ...] = ()
) -> Detections:
    """Return all objects, moved by shift px, but the cars of missed images; scores differ."""
    per_image = []
    for name in names:
        keep = CLASS_IDS != 4 if int(name[1:]) in missed else np.full(len(CLASS_IDS), True)
        scores = 0.9 - 0.01 * int(name[1:]) - 0.001 * np.arange(len(CLASS_IDS))
        per_image.append((BOXES_XYXY[keep] + shift, scores[keep], CLASS_IDS[keep]))
    boxes_xyxy, scores, class_ids = (np.concatenate(part) for part in zip(*per_image, strict=True))
    image_index = np.repeat(np.arange(len(names)), [len(part[1]) for part in per_image])
    return Detections(names, boxes_xyxy.astype(float), scores, class_ids, image_index)


def finish(
    results: Path, name: str, root: Path, strategies: Mapping[str, dict], *,
    split: str = "test-dev", seed: int = 0, max_detections: int = 500,
) -> None:  # fmt: skip
    """Leave an experiment whose strategies found what `found` returns for their options."""
    home, split_there = results / name, datasets.load(root, split)
    truth = split_there.annotations
    outcomes = {
        name: Outcome(
            described([name])[name], found(truth.names, **given),
            Regions.from_lists([[]] * len(truth)), 1, 1,
        )
        for name, given in strategies.items()
    }  # fmt: skip
    write(home / "05_fused_detection" / "k", outcomes)
    given = {"dataset": "scenes", "data_root": str(root), "layout": "", "classes": ""}
    given |= {"test_split": split}
    given |= {"seed": seed, "max_detections": max_detections}
    for stage in ("00_dataset", "06_evaluation"):
        files.write_text(home / stage / "k" / "params.yaml", params.dump(given))
    seen = {"fingerprint": provenance.data_fingerprint(root)}
    files.write_json(home / "00_dataset" / "k" / "dataset.json", seen)
    rows = {
        strategy: coco.evaluate(truth, one.detections, max_detections=max_detections)
        for strategy, one in outcomes.items()
    }
    metrics = {"strategies": rows, "main": list(rows)[:2], "order": list(rows), "split": split}
    metrics |= {"images": len(truth), "protocol": coco.PROTOCOL}
    files.write_json(home / "06_evaluation" / "k" / "metrics.json", metrics)
    files.write_json(home / "06_evaluation" / "k" / "provenance.json", {"data": "scenes"})
    stages = {path.name: {"key": "k"} for path in sorted(home.glob("*_*"))}
    files.write_json(home / "latest.json", {"stages": stages})


STRATEGIES = {
    "global": {"shift": 4.0},
    "native": {},
    "odd": {"missed": (1, 3, 5, 7, 9, 11)},
    "even": {"missed": (0, 2, 4, 6, 8, 10)},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Experiments on the same images, on a part of them, on others, and with another seed."""
    where = tmp_path_factory.mktemp("compare")
    root = draw(where / "data", {"test-dev": range(IMAGES), "val": range(20, 24)})
    finish(where / "results", "one", root, STRATEGIES)
    finish(where / "results", "moved", root, {name: {"shift": 4.0} for name in STRATEGIES})
    finish(where / "results", "seeded", root, STRATEGIES | {"native": {"shift": 3.0}}, seed=1)
    finish(where / "results", "joined", root, STRATEGIES, split="test-dev+val")
    finish(where / "results", "turned", root, STRATEGIES, split="val+test-dev")
    finish(where / "results", "fewer", root, STRATEGIES, max_detections=1)
    part = draw(where / "part", {"test-dev": range(5)}, shift=7)
    finish(where / "results", "part", part, STRATEGIES)
    other = draw(where / "other", {"test-dev": range(50, 55)})
    finish(where / "results", "other", other, STRATEGIES)
    return where / "results"


def compare(results: Path, *wanted: str, **given: object) -> comparing.Comparison:
    known = experiments.load(results)
    return comparing.compare(known, wanted, resamples=200, **given)


def verdicts(made: comparing.Comparison) -> set[str]:
    """Return the verdicts on all that can be compared: there are no large objects."""
    return set(made.table.dropna(subset=["difference"])["verdict"])


def row(made: comparing.Comparison, strategy: str, of: str = "AP") -> pd.Series:
    table = made.table
    (place,) = np.flatnonzero((table["strategy"] == strategy) & (table["of"] == of))
    return table.iloc[place]


def test_an_experiment_does_not_differ_from_itself(results: Path):
    made = compare(results, "one", "one")
    assert verdicts(made) == {SAME}
    assert made.words().splitlines()[0] == "`one:global` vs `one:global`: no difference."
    assert (made.cells()["AP"] == "same").all()


def test_boxes_that_are_all_off_stand_out_and_the_difference_is_that_of_the_protocol(results: Path):
    made = compare(results, "one", "moved")
    known = experiments.load(results)
    a, b = (experiments.evaluation(known[name])["strategies"] for name in ("one", "moved"))
    for of in ("AP", "AP50", "APs", "APm"):
        one = row(made, "native", of)
        assert one["difference"] == pytest.approx(b["native"][of] - a["native"][of], abs=1e-9)
    cars = row(made, "native", "car")
    expected = [metrics["native"]["per_class"]["car"]["AP"] for metrics in (a, b)]
    assert [cars["a"], cars["b"]] == pytest.approx(expected)
    whole = row(made, "native")
    assert whole["low"] <= whole["difference"] <= whole["high"] < 0
    assert whole["verdict"] == SIGNIFICANT
    assert "`moved:native` vs `one:native`: AP -" in made.words()


def test_of_many_classes_the_most_frequent_stand_apart_and_short_has_all(results: Path):
    made = compare(results, "one", "moved", main_only=True)
    cars = made.table[made.table["of"] == "car"]
    many = [cars.assign(of=f"kind {k}") for k in range(200)]
    whole = replace(made, table=pd.concat(many), objects={f"kind {k}": k % 100 for k in range(99)})
    cells = whole.class_cells()
    assert [*cells.index] == [*(f"kind {k}" for k in range(87, 99)), "and 188 more"]
    assert cells.index.name == "class" and (cells.iloc[-1] == "").all()
    assert len(whole.class_cells(short=True)) == 200 and "more" not in made.class_cells().index


def test_two_strategies_of_one_experiment_are_compared_by_name(results: Path):
    made = compare(results, "one:global", "one:native")
    assert row(made, "native vs global")["low"] > 0
    assert made.ap_table()["label"].tolist() == ["native vs global"]
    # What falls either way by image may be noise.
    whole = row(compare(results, "one:odd", "one:even"), "even vs odd")
    assert whole["low"] < 0 < whole["high"]
    assert whole["verdict"] == NOT_SIGNIFICANT


@pytest.mark.parametrize(
    ("wanted", "first", "second"),
    [
        (("one", "moved:odd"), ["one:odd"], ["moved:odd"]),  # named once, it is that of both
        (("one:native", "moved", "seeded"), ["one:native"], ["moved:native", "seeded:native"]),
    ],
)
def test_each_is_held_against_the_first(
    results: Path, wanted: tuple[str, ...], first: list[str], second: list[str]
):
    made = compare(results, *wanted)
    assert made.table["first"].unique().tolist() == first
    assert made.table["second"].unique().tolist() == second


def test_main_strategies_come_first_and_alone_where_asked(results: Path):
    names = compare(results, "one", "moved").table["strategy"].unique().tolist()
    assert names == ["global", "native", "odd", "even"]
    alone = compare(results, "one", "moved", main_only=True)
    assert alone.table["strategy"].unique().tolist() == ["global", "native"]


@pytest.mark.parametrize("wanted", [("one:nativ", "moved"), ("one", "moved:nativ")])
def test_an_unknown_strategy_is_answered_with_the_nearest(results: Path, wanted: tuple[str, str]):
    with pytest.raises(InputError, match="has no strategy 'nativ'; did you mean native"):
        compare(results, *wanted)


@pytest.mark.parametrize(
    ("one", "two", "told"),
    [
        ("one", "part", "scored anew on the 4 of 12 images"),  # with the same truth
        ("joined", "turned", "scored anew on the 16 images"),  # by name, whatever their order
        ("one", "fewer", "The report of fewer has 1 detections"),  # both at the first's number
    ],
)
def test_both_are_scored_alike_on_what_they_share(results: Path, one: str, two: str, told: str):
    made = compare(results, one, two)
    assert told in made.notes[0]
    assert verdicts(made) == {SAME}


def test_it_is_said_what_was_resampled(results: Path, monkeypatch: pytest.MonkeyPatch):
    images = compare(results, "one:odd", "one:even")
    assert "paired bootstrap, 200 resamples of 12 images." in images.notes[0]
    monkeypatch.setattr(splits, "SEQUENCE", re.compile("i([01])"))
    sequences = compare(results, "one:odd", "one:even")
    assert "200 resamples of 2 sequences (12 images). Over so few images" in sequences.notes[0]
    assert "Over so few sequences an interval is too narrow." in sequences.notes[0]
    low, high = (row(made, "even vs odd")["low"] for made in (sequences, images))
    assert low != high


def test_other_scenes_cannot_be_compared(results: Path):
    made = compare(results, "one", "other")
    assert made.table.empty
    assert "share no image with the same truth" in made.words()
    assert made.cells().empty
    assert made.ap_table().empty


def test_seeds_are_resampled_with_the_images(results: Path, tmp_path: Path):
    """A training seed of three that finds less makes the interval reach to what it finds."""
    several = Path(shutil.copytree(results, tmp_path / "results"))
    home, seeds = several / "one", {"1": "seeded", "2": "moved"}
    latest = files.read_json(home / "latest.json")
    for seed, other in seeds.items():
        shutil.copytree(
            several / other / "05_fused_detection" / "k", home / "05_fused_detection" / seed
        )
        latest["stages"][f"05_fused_detection seed {seed}"] = {"key": seed}
    files.write_json(home / "latest.json", latest)
    path = home / "06_evaluation" / "k" / "metrics.json"
    before = row(compare(several, "one:native", "one:even"), "even vs native")  # not evaluated yet
    files.write_json(path, files.read_json(path) | {"seeds": 3})
    made = compare(several, "one:global", "one:native")
    after = row(compare(several, "one:native", "one:even"), "even vs native")
    assert before["b"] - before["a"] != pytest.approx(after["difference"])
    assert row(made, "native vs global")["verdict"] == NOT_SIGNIFICANT  # one seed finds no more
    assert "Intervals cover images and 3 training seeds." in made.words()
    told = compare(several, "one", "fewer").words()
    assert "images and training seeds, 3 of one, 1 of fewer;" in told


@pytest.fixture
def clone(results: Path, tmp_path: Path) -> Path:
    """The same results as git keeps them."""
    ignore = shutil.ignore_patterns("*.npz", "strategies.json", "dataset.json")
    return Path(shutil.copytree(results, tmp_path / "clone", ignore=ignore))


def test_versioned_files_give_differences_without_intervals(clone: Path, results: Path):
    made, whole = compare(clone, "one", "moved"), compare(results, "one", "moved")
    assert verdicts(made) == {NO_INTERVAL}
    assert made.table["low"].isna().all()
    for strategy in STRATEGIES:
        expected = row(whole, strategy)["difference"]
        assert row(made, strategy)["difference"] == pytest.approx(expected, abs=1e-6)
    assert "missing: what one was scored on (05_fused_detection/k/strategies" in made.notes[0]


def test_versioned_figures_of_another_protocol_or_data_are_not_compared(clone: Path):
    made = compare(clone, "one", "fewer")
    assert made.table.empty
    assert "cannot be compared: other 00_dataset.max_detections, 06_evaluation" in made.notes[0]
    assert "test_split" in compare(clone, "one", "joined").notes[0]


def test_data_that_changed_and_torn_detections_are_not_scored(tmp_path: Path):
    root, results = draw(tmp_path / "data", {"test-dev": range(4)}), tmp_path / "results"
    finish(results, "one", root, STRATEGIES)
    finish(results, "two", root, STRATEGIES)
    path = results / "one" / "05_fused_detection" / "k" / "global_detections.npz"
    path.write_bytes(path.read_bytes()[:100])
    draw(root, {"test-dev": range(4)}, shift=1)
    made = compare(results, "one", "two")
    assert "what one was scored on (05_fused_detection/k/global_detections.npz" in made.notes[0]
    assert "changed since; run the experiment again" in made.notes[0]
    assert verdicts(made) == {NO_INTERVAL}


def test_the_command_prints_and_writes_a_page(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(results))
    assert cli.main(["compare", "one:native", "seeded", "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "common.seed" in told
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<code>seeded:native</code>" in page
    assert 'src="data:image/svg' in page
    metrics = files.read_json(tmp_path / "out" / "metrics.json")
    assert metrics["differences"][0]["of"] == "AP"
    assert (tmp_path / "out" / "figures" / "differences.csv").read_text().count("\n") == 2


def test_a_wrong_command_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture):
    path = str(files.write_text(tmp_path / "file", ""))
    wrong = {
        "expected two names or more": ["one"],
        "is a file; --out takes a folder": ["one", "moved", "--out", path],
    }
    for told, arguments in wrong.items():
        assert cli.main(["compare", *arguments]) == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
