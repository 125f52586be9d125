"""Tables of numbers -> tables as people read them: notebooks show these, files keep the rest."""

import math

import pandas as pd

from dmnet_lib.evaluation.difference import MISSING

DIGITS = 3  # of the largest number of a column
LEAST = 1e-3  # columns of smaller numbers are shown by their powers of ten


def rounded(table: pd.DataFrame | pd.Series) -> pd.DataFrame:
    """Return a table as text: whole numbers whole, a column's others to as many decimals as give
    its largest DIGITS, heads without underscores."""
    frame = table.to_frame() if isinstance(table, pd.Series) else table
    columns = [_texts(frame.iloc[:, place]) for place in range(frame.shape[1])]
    shown = pd.concat(columns, axis=1) if columns else frame
    return shown.set_axis(frame.columns, axis=1).rename(columns=_words)


def _words(head: object) -> object:
    return head.replace("_", " ") if isinstance(head, str) else head


def _texts(column: pd.Series) -> pd.Series:
    """Return a column as text; what is not there as MISSING."""
    values = column.infer_objects()
    if pd.api.types.is_bool_dtype(values):
        return values.map({True: "yes", False: "no"})
    if not pd.api.types.is_numeric_dtype(values):
        return values.where(values.notna(), MISSING)
    form = _format(values.dropna())
    return values.map(lambda value: MISSING if pd.isna(value) else format(value, form))


def _format(values: pd.Series) -> str:
    largest = float(values.abs().max()) if len(values) else 0.0
    if largest == 0 or (values % 1 == 0).all():
        return ",.0f"
    if largest < LEAST:
        return ".0e"
    return f",.{max(0, DIGITS - 1 - math.floor(math.log10(largest)))}f"
