"""The rows of a comparison in, tables and sentences as people read them out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from dmnet_lib.core.annotations import CLASSES
from dmnet_lib.evaluation.comparing.scored import NOISE, SAME, STANDS_OUT, UNKNOWN
from dmnet_lib.evaluation.comparing.seeds import SEEDED
from dmnet_lib.evaluation.comparing.sides import MEASURES
from dmnet_lib.evaluation.scores import Words, without_nan

DRAWN = (NOISE, STANDS_OUT, SEEDED)  # verdicts that an interval gave
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
    wide = pd.DataFrame(list(rows.values()), columns=list(columns)).fillna("n/a")
    return wide.set_index(pd.MultiIndex.from_tuples(rows, names=LABEL))


def _cell(row: pd.Series) -> str:
    if pd.isna(row["difference"]):
        return "n/a"
    if row["verdict"] == SAME:
        return "same"
    if pd.isna(row["low"]):
        return f"{row['difference']:+.3f}"
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def _short_cell(row: pd.Series) -> str:
    if pd.isna(row["difference"]):
        return "n/a"
    if row["verdict"] == SAME:
        return "same"
    return f"{row['difference']:+.3f}{'*' if row['verdict'] == STANDS_OUT else ' '}"


def words(found: Comparison) -> Words:
    """Return a sentence a main pair, whether it stands out of the noise, and what to know of it."""
    main = found.table[found.table["main"]]
    lines = [_sentence(some, found.level) for _, some in main.groupby(LABEL, sort=False)]
    return Words("\n".join([*lines, *found.notes]) or "There is nothing to compare.")


def _sentence(rows: pd.DataFrame, level: float) -> str:
    """Return what one pair's rows say: of AP, then which sizes and classes stand out."""
    whole, rest = rows[rows["of"] == "AP"].iloc[0], rows[rows["of"] != "AP"]
    line = f"`{whole['second']}` against `{whole['first']}`: "
    if whole["verdict"] == SAME and set(rest["verdict"]) <= {SAME, UNKNOWN}:
        return f"{line}{SAME}."
    if pd.isna(whole["difference"]):
        return f"{line}there is no AP to compare."
    line += f"AP {whole['difference']:+.3f}"
    if whole["verdict"] == UNKNOWN:
        return f"{line}, {UNKNOWN}."
    line += f" ({level:.0%} interval {whole['low']:+.3f} to {whole['high']:+.3f}), "
    out = rest[rest["verdict"] == STANDS_OUT]
    told = [f"{of} {gain:+.3f}" for of, gain in zip(out["of"], out["difference"], strict=True)]
    told = f"; of sizes and classes {', '.join(told)}" if told else ""
    return f"{line}{whole['verdict']}{told}."


def whole(found: Comparison) -> pd.DataFrame:
    """Return the rows of AP of main pairs with a `label` each, as `figures.differences` draws."""
    table = found.table[found.table["main"] & (found.table["of"] == "AP")]
    is_one = table["experiments"].nunique() == 1
    labels = table["strategy"] if is_one else table["experiments"] + ": " + table["strategy"]
    stands_out = table["verdict"] == STANDS_OUT
    shown = table.assign(label=labels, stands_out=stands_out)
    return shown.drop(columns=[*LABEL, "main", "of"])


def records(found: Comparison) -> list[dict[str, object]]:
    """Return the table as metrics hold it, a mapping a row."""
    return without_nan(found.table).to_dict("records")
