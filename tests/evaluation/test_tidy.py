"""Evaluations -> one table: a row for each figure, with what it is of."""

import json
from pathlib import Path

import pandas as pd
import pytest

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.evaluation import experiments, tidy

AP = {"AP": 0.2, "intervals": {"AP": [0.1, 0.3]}, "protocol": "coco", "boxes": 7, "budget": 6}
ROW = AP | {
    "method": "planned mcnn", "AP_by_seed": [0.1, 0.3], "APl": None, "is_default": True,
    "at_100": {"AP": 0.15}, "per_class": {"car": {"AP": 0.4, "boxes": 5}},
    "vs_global": {"difference": 0.1, "low": -0.1, "high": 0.2, "resamples": 9},
}  # fmt: skip
KIND = {"kind": "missed", "errors": 3.0, "AP50_cost": 0.25, "low": 0.2, "high": 0.3}


@pytest.fixture
def run(tmp_path: Path) -> ResultFolder:
    """An evaluation of one strategy with two seeds, one of which was timed here."""
    home = tmp_path / "own"
    metrics = {"strategies": {"planned mcnn 6": ROW}, "main": ["planned mcnn 6"], "seeds": 2}
    metrics |= {"split": "val", "images": 3, "errors": {"planned mcnn 6": [KIND]}}
    metrics["visdrone"] = {"planned mcnn 6": {"AP": 0.18, "per_class": {"car": {"AP": 0.38}}}}
    files.write_json(home / "06_evaluation" / "k" / "metrics.json", metrics)
    files.write_text(home / "06_evaluation" / "k" / "params.yaml", "seed: 4\n")
    stages = {name: {"key": "k"} for name in ("05_fused_detection", "06_evaluation")}
    stages["05_fused_detection seed 1"] = {"key": "k1"}
    for key, seconds in (("k", 0.2), ("k1", 0.4)):
        path = home / "05_fused_detection" / key / "timings.json"
        files.write_json(path, {"planned mcnn 6": seconds})
    files.write_json(home / "latest.json", {"stages": stages})
    return ResultFolder.read(home)


def test_each_figure_has_a_row(run: ResultFolder) -> None:
    table = tidy.table({"own": run})
    assert list(table) == list(tidy.COLUMNS)
    assert set(table["experiment"]) == {"own"} and set(table["seeds"]) == {2}
    whole = table[table["seed"].isna() & (table["class"] == tidy.ALL)]
    values = whole.set_index(["protocol", "metric"])["value"].to_dict()
    assert values == pytest.approx({
        ("coco", "AP"): 0.2, ("coco", "AP@100"): 0.15, ("coco", "AP_vs_global"): 0.1,
        ("coco", "seconds"): 0.3, ("visdrone", "AP"): 0.18,
        ("coco", "AP50_cost_missed"): 0.25, ("coco", "errors_missed"): 3.0,
    })  # fmt: skip
    by_class = table[table["class"] == "car"].set_index("protocol")
    assert by_class["value"].to_dict() == {"coco": 0.4, "visdrone": 0.38}
    assert by_class.loc["coco", "objects"] == 5


def test_seeds_and_intervals_stand_beside_the_mean(run: ResultFolder) -> None:
    rows = tidy.table({"own": run}).query("metric == 'AP' and protocol == 'coco'")
    assert rows.dropna(subset="seed").set_index("seed")["value"].to_dict() == {4: 0.1, 5: 0.3}
    mean = rows[rows["seed"].isna() & (rows["class"] == tidy.ALL)].iloc[0]
    assert (mean["low"], mean["value"], mean["high"]) == (0.1, 0.2, 0.3)


def test_no_experiment_gives_the_columns_alone() -> None:
    assert list(tidy.table({})) == list(tidy.COLUMNS)


def test_seconds_are_the_mean_over_the_seeds(run: ResultFolder) -> None:
    assert tidy.seconds(run) == {"planned mcnn 6": pytest.approx(0.3)}
    (run.all_folders["05_fused_detection"] / "timings.json").unlink()
    assert tidy.seconds(run) == {"planned mcnn 6": 0.4}


def test_a_lost_parameter_names_its_file(run: ResultFolder) -> None:
    files.write_text(run.folder("06_evaluation") / "params.yaml", "resamples: 9\n")
    with pytest.raises(InputError, match=r"params\.yaml"):
        tidy.table({"own": run})


def test_the_committed_runs_are_all_in_it() -> None:
    found = experiments.load(files.ROOT / "results")
    table = tidy.table(found)
    assert set(table["experiment"]) == set(found) != set()
    for name, folder in found.items():
        scored = experiments.evaluation(folder)["strategies"]
        rows = table[(table["experiment"] == name) & (table["class"] == tidy.ALL)]
        rows = rows[rows["seed"].isna()].query("metric == 'AP' and protocol == 'coco'")
        assert dict(zip(rows["strategy"], rows["value"], strict=True)) == {
            strategy: row["AP"] for strategy, row in scored.items()
        }
    keys = ["experiment", "strategy", "seed", "protocol", "class", "metric"]
    assert not table.duplicated(keys).any()
    assert json.loads(table.head().to_json(orient="records"))
    assert isinstance(table["seed"].dtype, pd.Int64Dtype)
