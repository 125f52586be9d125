"""Rows of a comparison and other experiments in, what another seed of the trainings does out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dmnet_lib.core import params, provenance
from dmnet_lib.evaluation import experiments
from dmnet_lib.evaluation.comparing.sides import Pair, Side, figures
from dmnet_lib.evaluation.difference import SIGNIFICANT
from dmnet_lib.evaluation.experiments import Folders

SEED_NAME = f"{params.COMMON}.seed"
SEEDED = "no more than another seed does"  # stands out of the draw of images alone
ROUNDED = 10**-provenance.DECIMALS  # of versioned figures


@dataclass(frozen=True)
class Seeds:
    """What another seed alone does: twins by experiment, and versioned figures of all of them."""

    twins: dict[str, list[str]]
    metrics: dict[str, dict]

    def moves(self, first: Side, second: Side) -> dict[str, float]:
        """Return by measure how far a twin's figures are from those of a pair, the most of all."""
        if first.experiment == second.experiment:
            apart = [
                _gap(self._less(first, second), self._less(_of(twin, first), _of(twin, second)))
                for twin in self.twins[first.experiment]
            ]
        else:
            apart = [
                _gap(self._figures(side), self._figures(_of(twin, side)))
                for side in (first, second)
                for twin in self.twins[side.experiment]
            ]
        return {of: max(one.get(of, 0.0) for one in apart) for of in set().union(*apart)}

    def _figures(self, side: Side) -> dict[str, float]:
        rows = self.metrics[side.experiment]["strategies"]
        return figures(rows[side.strategy]) if side.strategy in rows else {}

    def _less(self, first: Side, second: Side) -> dict[str, float]:
        a, b = self._figures(first), self._figures(second)
        return {of: b[of] - a[of] for of in a if of in b}


def _of(experiment: str, side: Side) -> Side:
    return replace(side, experiment=experiment)


def _gap(one: Mapping[str, float], two: Mapping[str, float]) -> dict[str, float]:
    return {of: abs(one[of] - two[of]) for of in one if of in two}


def twins_of(known: Mapping[str, Folders], names: Iterable[str]) -> Seeds:
    """Return the twins of experiments among known: their parameters differ by `seed` alone."""
    given = {name: experiments.parameters(folders) for name, folders in known.items()}
    twins = {
        name: [other for other in known if _differing(given[name], given[other]) == {SEED_NAME}]
        for name in names
    }
    involved = {*twins, *(twin for found in twins.values() for twin in found)}
    return Seeds(twins, {name: experiments.evaluation(known[name]) for name in sorted(involved)})


def _differing(one: Mapping[str, object], two: Mapping[str, object]) -> set[str]:
    return {name for name in (*one, *two) if one.get(name) != two.get(name)}


def beside_seeds(
    rows: Sequence[dict[str, object]], pairs: Sequence[Pair], found: Seeds
) -> list[dict[str, object]]:
    """Return the rows; those that stand out no further than another seed moves them say so."""
    moves = {(str(first), str(second)): found.moves(first, second) for first, second, _ in pairs}
    told = []
    for row in rows:
        moved = moves[row["first"], row["second"]].get(row["of"], 0.0)
        is_small = row["verdict"] == SIGNIFICANT and abs(row["difference"]) <= moved + ROUNDED
        told.append(row | {"verdict": SEEDED} if is_small else row)
    return told


def told_of_seeds(pairs: Sequence[Pair], found: Seeds) -> list[str]:
    """Return in lines how far another seed alone moves AP of what main pairs compare."""
    names = list(dict.fromkeys(side.experiment for *pair, _ in pairs for side in pair))
    beside = [f"{twin} beside {name}" for name in names for twin in found.twins[name]]
    if not beside:
        return [f"No experiment differs from {' or '.join(names)} by the seed alone: how far "
                "another seed moves these figures is not known."]  # fmt: skip
    if len(names) == 2 and names[1] in found.twins[names[0]]:
        beside, told = [f"{names[1]} beside {names[0]}"], ["they differ by the seed alone"]
    else:
        told = []
    moved = {
        second.strategy: found.moves(first, second).get("AP")
        for first, second, is_main in pairs
        if is_main
    }
    moved = {name: value for name, value in moved.items() if value is not None}
    if moved:
        least, most = min(moved, key=moved.get), max(moved, key=moved.get)
        span = f"{moved[most]:.3f} (`{most}`)"
        span = span if least == most else f"{moved[least]:.3f} (`{least}`) to {span}"
        what = "AP" if len(names) == 2 else "these differences in AP"
        told.append(f"another seed alone moves {what} by {span}")
    return [f"{', '.join(beside)}: {'; '.join(told)}."]
