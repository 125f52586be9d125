"""The rows of a comparison in, tables and sentences as people read them out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from dmnet_lib.core.annotations import CLASSES
from dmnet_lib.evaluation.comparing.seeds import SEEDED
from dmnet_lib.evaluation.comparing.sides import MEASURES
from dmnet_lib.evaluation.difference import (
    MISSING,
    NO_INTERVAL,
    NOT_SIGNIFICANT,
    SAME,
    SIGNIFICANT,
    Difference,
)
from dmnet_lib.evaluation.strategy_table import without_nan
from dmnet_lib.evaluation.words import Words

DRAWN = (NOT_SIGNIFICANT, SIGNIFICANT, SEEDED)  # verdicts that an interval gave
LABEL = ["experiments", "strategy"]
COLUMNS = (*LABEL, "first", "second", "main", "of", "a", "b", "difference", "low", "high",
           "verdict")  # fmt: skip
MANY = 20  # intervals, from which on some will leave out 0 by chance


@dataclass(frozen=True)
class Comparison:
    """What was found: one row a pair of sides and measure, and what to know of it in lines.

    table has COLUMNS: a and b are the measure of first and second, difference is b - a, low and
    high are its interval, NaN where there is none; `of` is one of MEASURES or a class, of AP.
    """

    table: pd.DataFrame
    notes: tuple[str, ...]
    level: float


def cautions(table: pd.DataFrame, level: float) -> list[str]:
    """Return what intervals do not tell."""
    drawn = table[table["verdict"].isin(DRAWN)]
    if drawn.empty:
        return []
    lines = ["Intervals cover the draw of images alone, not the seed of the trainings."]
    if len(drawn) >= MANY:
        chance = len(drawn) * (1 - level)
        lines.append(f"Of {len(drawn)} intervals about {chance:.0f} leave out 0 by chance alone.")
    return lines


def shown(found: Comparison, measures: Sequence[str] = MEASURES) -> pd.DataFrame:
    """Return the differences as people read them: a row a pair, a cell with its interval."""
    return _spread(found.table, measures, _cell)


def shown_classes(found: Comparison, *, short: bool = False) -> pd.DataFrame:
    """Return the same of each class's AP, a row a class, for main pairs; short has no intervals.

    Then a * marks what stands out.
    """
    table = found.table[found.table["main"] & ~found.table["of"].isin(MEASURES)]
    rows = [name for name in CLASSES if name in set(table["of"])]
    return _spread(table, rows, _short_cell if short else _cell).T.rename_axis("class")


def _spread(
    table: pd.DataFrame, columns: Sequence[str], cell: Callable[[pd.Series], str]
) -> pd.DataFrame:
    """Return one row a pair, one column a measure."""
    rows = {
        label: {row["of"]: cell(row) for _, row in some.iterrows() if row["of"] in columns}
        for label, some in table.groupby(LABEL, sort=False)
    }
    wide = pd.DataFrame(list(rows.values()), columns=list(columns)).fillna(MISSING)
    return wide.set_index(pd.MultiIndex.from_tuples(rows, names=LABEL))


def _cell(row: pd.Series) -> str:
    return Difference.read(row).cell()


def _short_cell(row: pd.Series) -> str:
    """Return the cell without its interval, and with a * where it is significant."""
    cell = _cell(row).partition(" [")[0]
    return f"{cell}{'*' if row['verdict'] == SIGNIFICANT else ' '}"


def words(found: Comparison) -> Words:
    """Return a sentence a main pair, whether it stands out of the noise, and what to know of it."""
    main = found.table[found.table["main"]]
    lines = [_sentence(some, found.level) for _, some in main.groupby(LABEL, sort=False)]
    return Words("\n".join([*lines, *found.notes]) or "There is nothing to compare.")


def _sentence(rows: pd.DataFrame, level: float) -> str:
    """Return what one pair's rows say: of AP, then which sizes and classes stand out."""
    whole, rest = rows[rows["of"] == "AP"].iloc[0], rows[rows["of"] != "AP"]
    line = f"`{whole['second']}` vs `{whole['first']}`: "
    if whole["verdict"] == SAME and set(rest["verdict"]) <= {SAME, NO_INTERVAL}:
        return f"{line}{SAME}."
    line += Difference.read(whole, level=level).words(whole["verdict"])
    out = rest[rest["verdict"] == SIGNIFICANT]
    told = [f"{of} {gain:+.3f}" for of, gain in zip(out["of"], out["difference"], strict=True)]
    return f"{line}{'; also significant: ' if told else ''}{', '.join(told)}."


def whole(found: Comparison) -> pd.DataFrame:
    """Return the rows of AP of main pairs with a `label` each, as `charts.differences` draws."""
    table = found.table[found.table["main"] & (found.table["of"] == "AP")]
    is_one = table["experiments"].nunique() == 1
    labels = table["strategy"] if is_one else table["experiments"] + ": " + table["strategy"]
    is_significant = table["verdict"] == SIGNIFICANT
    shown = table.assign(label=labels, is_significant=is_significant)
    return shown.drop(columns=[*LABEL, "main", "of"])


def records(found: Comparison) -> list[dict[str, object]]:
    """Return the table as metrics hold it, a mapping a row."""
    return without_nan(found.table).to_dict("records")
