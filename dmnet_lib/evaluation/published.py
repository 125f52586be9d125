"""Figures that others published, with split, protocol and source: published.csv -> a table."""

from pathlib import Path

import pandas as pd

FILE = Path(__file__).with_name("published.csv")  # in percent, as they circulate


def table(dataset: str = "VisDrone") -> pd.DataFrame:
    """Return one row a published result, in percent; what was not published is NaN.

    Compare only where protocol and split agree: the same detections score 4 to 8 points higher by
    VisDrone's toolkit than by COCO's evaluators, and test-dev is five to six points harder than
    val. ValueError for a dataset without figures.
    """
    figures = pd.read_csv(FILE)
    found = figures[figures["dataset"] == dataset].drop(columns="dataset").reset_index(drop=True)
    if found.empty:
        names = ", ".join(figures["dataset"].unique())
        raise ValueError(f"no figures of {dataset!r}, only of {names}")
    return found
