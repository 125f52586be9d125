"""Finished experiments in, what differs between them out: intervals, tables, sentences."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

import pandas as pd

from dmnet_lib.evaluation.comparing.scored import Draw, common, differences
from dmnet_lib.evaluation.comparing.seeds import SEEDED, beside_seeds, told_of_seeds, twins_of
from dmnet_lib.evaluation.comparing.sides import (
    MEASURES,
    Side,
    Subject,
    experiment_of,
    pairs_of,
    read,
)
from dmnet_lib.evaluation.comparing.tables import (
    COLUMNS,
    DRAWN,
    Comparison,
    cautions,
    records,
    shown,
    shown_classes,
    whole,
    words,
)
from dmnet_lib.evaluation.experiments import Folders

__all__ = [
    "MEASURES",
    "SEEDED",
    "Comparison",
    "Side",
    "Subject",
    "common",
    "compare",
    "read",
    "records",
    "shown",
    "shown_classes",
    "whole",
    "words",
]
LEVEL, RESAMPLES = 0.95, 1000  # of the bootstrap


def compare(
    known: Mapping[str, Folders],
    wanted: Sequence[str],
    *,
    main_only: bool = False,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    executor: Executor | None = None,
) -> Comparison:
    """Return how each of `wanted` but the first differs from the first.

    wanted are experiments of `known`, or `experiment:strategy`; without a strategy all that both
    have are compared, main ones first. Others of known tell what another seed alone moves. Raises
    InputError for an unknown strategy.
    """
    subjects = {name: read(name, known[name]) for name in dict.fromkeys(map(experiment_of, wanted))}
    rows, notes, kept = [], [], {}
    for other in wanted[1:]:
        pairs = pairs_of(wanted[0], other, subjects, main_only=main_only)
        one, two = (subjects[experiment_of(text)] for text in (wanted[0], other))
        draw = Draw(resamples, level, executor, kept)
        found, told = differences(one, two, pairs, draw)
        twins = twins_of(known, dict.fromkeys((one.name, two.name)))
        rows += beside_seeds(found, pairs, twins)
        is_drawn = any(row["verdict"] in DRAWN for row in found)
        notes += [told, *(told_of_seeds(pairs, twins) if is_drawn else [])]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = ["a", "b", "difference", "low", "high"]
    table = table.astype(dict.fromkeys(numbers, float) | {"main": bool})
    return Comparison(table, tuple(dict.fromkeys([*notes, *cautions(table, level)])), level)
