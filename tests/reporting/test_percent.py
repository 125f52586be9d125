"""Tables of fractions as people read them: percent, points, and one cell for an interval."""

import pandas as pd

from dmnet_lib.reporting.percent import in_percent


def test_fractions_are_in_percent_and_the_rest_is_as_it_is() -> None:
    table = pd.DataFrame(
        {"AP": [0.2341, None], "megapixels": [1.25, 2.0], "best_score": [0.5, 0.25]}
    )
    shown = in_percent(table)
    assert shown["AP, %"].tolist() == ["23.4", "n/a"]
    assert shown["megapixels"].tolist() == ["1.25", "2.00"]
    assert shown["best score"].tolist() == ["0.500", "0.250"]
    assert table["AP"][0] == 0.2341  # what was given stays


def test_a_difference_stands_in_points_with_its_interval() -> None:
    table = pd.DataFrame({"fewer": [2], "difference": [0.062], "low": [0.05], "high": [0.08]})
    assert in_percent(table).to_dict("records") == [
        {"fewer": "2", "difference, points": "+6.2 [+5.0, +8.0]"}
    ]
    table = pd.DataFrame({"share": [0.8], "low": [0.7], "high": [0.9]})
    assert in_percent(table)["share, %"].tolist() == ["+80.0 [+70.0, +90.0]"]


def test_an_empty_table_stays_one() -> None:
    assert in_percent(pd.DataFrame({"AP": []})).empty
