"""The strategy table: the same from fresh scores and from metrics, for programs and for people."""

import numpy as np
import pandas as pd

from dmnet_lib.evaluation.strategy_table import readable, strategy_table, without_nan

ROWS = {
    "global": {"method": "global", "AP": 0.25, "megapixels": 0.25, "intervals": {"AP": [0.2, 0.3]}},
    "mine": {"method": "mine", "AP": 0.5, "megapixels": 2, "intervals": {"AP": [None, None]},
             "vs_global": {"difference": 0.25, "low": 0.125, "high": 0.375, "resamples": 9}},
}  # fmt: skip


def test_each_measure_and_difference_has_its_bounds_beside_it():
    table = strategy_table(ROWS, ("method", "megapixels"), intervals=["AP"], baselines=["global"])
    assert table.columns.tolist() == [
        "method", "megapixels", "AP", "AP_low", "AP_high",
        "vs_global_difference", "vs_global_low", "vs_global_high",
    ]  # fmt: skip
    assert table.loc["mine"].tolist()[-3:] == [0.25, 0.125, 0.375]
    assert table.loc["global"].isna().sum() == 3
    assert table["AP_low"].tolist()[0] == 0.2


def test_people_read_short_names_and_one_cell_a_difference():
    table = strategy_table(ROWS, ("AP", "APs", "megapixels"), baselines=["global"])
    shown = readable(table, {"global": "global"})
    assert shown.columns.tolist() == ["AP", "APs", "Mpx", "AP vs global"]
    assert shown.loc["mine"].tolist() == ["50.0", "n/a", "2.0", "+25.0 [+12.5, +37.5]"]
    assert shown.loc["global"].tolist() == ["25.0", "n/a", "0.2", "n/a"]


def test_a_table_for_metrics_has_none_where_there_is_no_figure():
    frame = without_nan(pd.DataFrame({"a": [1.0, np.nan]}))
    assert frame["a"].tolist() == [1.0, None]
