"""Budgets: what crops buy follows the samples, whichever way it falls."""

import numpy as np
import pandas as pd
import pytest
from builders import car, table

from dmnet_lib.core.boxes import xywh_to_xyxy
from dmnet_lib.core.tables import Detections
from dmnet_lib.detection.strategies import described
from dmnet_lib.evaluation import budgets
from dmnet_lib.evaluation.difference import NOT_SIGNIFICANT, SIGNIFICANT
from dmnet_lib.evaluation.scores import Scores

NOISE = np.concatenate([[0.0], np.random.default_rng(0).normal(0, 0.01, 200)])
MEGAPIXELS = {"global": 0.2, "uniform 2x3": 2.0, "sliding 640": 4.0}


def scores(own: dict[str, float] | None = None, **averages: float) -> Scores:
    """Scores of `global` and others (`_` for a space) that vary alike over images, own with a
    spread."""
    rows, samples = {}, {}
    for key, value in ({"global": 0.1} | averages).items():
        name = key.replace("_", " ")
        spread = (own or {}).get(name, 0.0) * np.roll(NOISE, 7) * (np.arange(201) > 0)
        samples[name] = dict.fromkeys(("AP", "AP50", "APs"), value + NOISE + spread)
        crops = float(name.split(" ")[-1]) if name[-1].isdigit() and "x" not in name else 0.0
        megapixels = MEGAPIXELS.get(name, 0.2 + 0.1 * crops)
        bounds = {"AP": [value, 1], "AP50": [0, 1], "APs": [None, None]}
        rows[name] = {**vars(described([name])[name]), "crops_per_image": crops,
                      "megapixels": megapixels, "AP": value, "AP50": value, "APs": None,
                      "intervals": bounds}  # fmt: skip
    baselines = {n.split(" ")[0]: n for n in rows if n in MEGAPIXELS}
    return Scores(rows, {}, {}, samples, baselines, 0.9, np.arange(30))


def test_without_plans_there_is_nothing_to_tell():
    alone = scores()
    assert len(budgets.growth(alone)) == len(budgets.share_of_oracle_gain(alone)) == 0
    assert len(budgets.at_half_cost(alone)) == 0


def test_budgets_are_taken_in_the_order_of_their_numbers():
    found = scores(planned_mcnn_12=0.1, planned_mcnn_4=0.1, planned_mcnn_2=0.1)
    assert list(budgets.planned(found)["planned mcnn"]) == [2, 4, 12]
    steps = budgets.growth(found)[["fewer", "more"]].to_numpy().tolist()
    assert steps == [[2, 4], [4, 12], [2, 12]]


def test_a_fall_beyond_its_interval_is_told_from_noise():
    noisy = {"planned oracle 8": 3.0}
    found = scores(noisy, planned_oracle_2=0.2, planned_oracle_4=0.3, planned_oracle_6=0.25,
                   planned_oracle_8=0.249)  # fmt: skip
    growth = budgets.growth(found)
    assert growth["difference"].tolist() == pytest.approx([0.1, -0.05, -0.001, 0.049])
    assert growth["verdict"].tolist() == [SIGNIFICANT, SIGNIFICANT, NOT_SIGNIFICANT, SIGNIFICANT]


def test_the_share_is_one_of_the_oracles_gain():
    found = scores(planned_oracle_4=0.3, planned_mcnn_4=0.25, planned_mcnn_6=0.3,
                   planned_detector_4=0.2)  # fmt: skip
    kept = budgets.share_of_oracle_gain(found).set_index(["method", "budget"])["share"]
    assert kept.to_dict() == pytest.approx(
        {("planned mcnn", 4): 0.75, ("planned detector", 4): 0.5}
    )
    none = scores(planned_oracle_4=0.05, planned_mcnn_4=0.2)  # of no gain there is no share
    assert budgets.share_of_oracle_gain(none)["share"].isna().all()


def test_half_the_cost_takes_the_dearest_that_is_cheap_enough():
    found = scores(uniform_2x3=0.2, sliding_640=0.3, planned_mcnn_2=0.1, planned_mcnn_6=0.25,
                   planned_mcnn_12=0.4)  # fmt: skip
    table = budgets.at_half_cost(found).set_index("control")
    assert table["strategy"].to_dict() == {
        "uniform 2x3": "planned mcnn 6", "sliding 640": "planned mcnn 12",
    }  # fmt: skip
    assert table["cost"].tolist() == pytest.approx([0.4, 0.35])
    assert table["difference"].tolist() == pytest.approx([0.05, 0.1])


def test_plans_are_held_against_the_density_crops_of_their_source():
    found = scores(uniform_2x3=0.2, density_mcnn=0.3, planned_mcnn_2=0.1, planned_mcnn_6=0.25,
                   planned_oracle_2=0.5)  # fmt: skip
    found.strategies["density mcnn"]["megapixels"] = 0.5
    table = budgets.versus_density(found)
    assert table["control"].tolist() == ["density mcnn"]
    (row,) = table.to_dict("records")
    assert row["strategy"].startswith("planned mcnn")
    assert row["cost"] <= 1 and row["verdict"] == SIGNIFICANT


def test_an_ablation_compares_each_strategy_with_itself_under_all_rules():
    truth = table(*[[car(20 + 50 * n, 30, 20, 20) for n in range(3)]] * 4, size_wh=(200, 100))
    xyxy = xywh_to_xyxy(truth.boxes_xywh).astype(float)
    scored = np.linspace(0.9, 0.5, len(xyxy))
    whole = Detections(truth.names, xyxy, scored, truth.class_ids, truth.image_index)
    some = whole.select(np.arange(len(whole)) % 3 > 0)
    found = {"all rules": {"a": whole, "b": some}, "fewer": {"a": some, "b": some}}
    rng = np.random.default_rng(0)
    made = budgets.ablation([found], truth, max_detections=500, resamples=50, level=0.9, rng=rng)
    rows = made.set_index(["variant", "strategy"])
    assert rows.loc[("all rules", "a"), "AP"] == pytest.approx(1)
    assert pd.isna(rows.loc[("all rules", "a"), "difference"])
    assert rows.loc[("fewer", "a"), "high"] < 0
    assert rows.loc[("fewer", "b"), ["difference", "low", "high"]].tolist() == [0, 0, 0]
