"""Figures that others published, with split, protocol and source: published.csv -> a table."""

from pathlib import Path

import pandas as pd


def table() -> pd.DataFrame:
    """Return one row per published result, in percent; what was not published is NaN.

    Compare only where dataset, protocol and split agree: the same detections score 4 to 8 points
    higher by VisDrone's toolkit than by COCO's evaluators, and test-dev is five to six points
    harder than val.
    """
    return pd.read_csv(Path(__file__).with_suffix(".csv"))
