import pandas as pd
import pytest

from dmnet_lib.reporting.rounding import rounded


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([], []),
        ([30.0, 1234.0], ["30", "1,234"]),
        ([0.954041, 0.0461], ["0.954", "0.046"]),
        ([6.366667, 12.5], ["6.4", "12.5"]),
        ([1234.5, 0.25], ["1,234", "0"]),
        ([2.749925e-08, 0.0], ["3e-08", "0e+00"]),
        ([0.5, None], ["0.500", "n/a"]),
        ([True, False], ["yes", "no"]),
        (["car", None], ["car", "n/a"]),
    ],
    ids=str,
)
def test_a_column_is_shown_as_people_read_it(values: list, texts: list) -> None:
    shown = rounded(pd.DataFrame({"crops_per_image": values}))
    assert shown["crops per image"].tolist() == texts


def test_rows_of_metrics_that_became_objects_are_rounded_too() -> None:
    table = pd.DataFrame({"oracle": {"images": 30, "rate": 0.954041}}).T.astype(object)
    assert rounded(table).loc["oracle"].tolist() == ["30", "0.954"]


def test_heads_of_two_levels_and_a_series_are_shown() -> None:
    parts = pd.concat({"val": pd.DataFrame({"side_px": [8.832]})}, axis=1)
    assert rounded(parts)["val", "side px"].tolist() == ["8.83"]
    assert rounded(pd.Series({"a": 16.04}, name="px"))["px"].tolist() == ["16.0"]


def test_columns_of_one_name_stay_apart() -> None:
    table = pd.DataFrame([[1, 0.25]], columns=["a", "a"])
    assert rounded(table).iloc[0].tolist() == ["1", "0.250"]
