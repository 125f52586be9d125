"""Tables of scores, which hold fractions -> tables as people read them: percent and points."""

import re

import pandas as pd

from dmnet_lib.evaluation.difference import MISSING, Difference
from dmnet_lib.reporting.rounding import rounded

SHARE = re.compile(
    r"(COCO )?A[PR]\w*( .*)?|coverage|cost|f1|found|held_out_f1|precision|recall|smaller|share"
    r"|\w+_(rate|recall|share)"
)
ENDS = ["low", "high"]
UNITS = {"difference": "difference, points", "share": "share, %"}


def in_percent(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as text: fractions by columns' names in percent, a difference or a share with
    its interval as one cell, the rest `rounded`."""
    shown, units = table.copy(), {}
    for name in {"difference", "share"} & set(shown.columns):
        if set(ENDS) <= set(shown.columns):
            rows = shown.rename(columns={name: "difference"}).to_dict("records")
            shown[name] = [Difference.read(row).cell() for row in rows]
            shown, units[name] = shown.drop(columns=ENDS), UNITS[name]
    names = [one for one in shown.columns if _is_share(one, shown[one])]
    shown[names] = shown[names].astype(float).mul(100)
    text = rounded(shown)
    for place, name in enumerate(shown.columns):
        if name in names:
            cells = shown[name].map("{:.1f}".format).where(shown[name].notna(), MISSING)
            text.isetitem(place, cells)
    heads = [str(name).replace("_", " ") for name in names]
    return text.rename(columns=units | {head: f"{head}, %" for head in heads})


def _is_share(name: object, values: pd.Series) -> bool:
    last = str(name[-1] if isinstance(name, tuple) else name)
    is_number = pd.api.types.is_numeric_dtype(values.infer_objects())
    return is_number and SHARE.fullmatch(last) is not None
