"""Folders of finished experiments -> tables of what differed between them and its effect."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dmnet_lib.core import files, lists, params, result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.core.provenance import Stage
from dmnet_lib.core.result_folder import EVALUATION, METRICS, PARAMS, SEED, ResultFolder

SWEEP = "sweep.json"  # in the folder of a sweep: names the experiments of its values
SCORES = ("AP", "AP50", "APs", "APm", "APl")  # that are compared, and the AP of each class


class StrategyRun(NamedTuple):
    """One strategy of one experiment, written `demo:native`."""

    experiment: str
    strategy: str

    @classmethod
    def read(cls, text: str) -> "StrategyRun":
        """Return the experiment and the strategy of a text, "" where it names none."""
        experiment, _, strategy = text.partition(":")
        return cls(experiment.strip(), strategy.strip())

    def __str__(self) -> str:
        return f"{self.experiment}:{self.strategy}"


class Pair(NamedTuple):
    """Two strategy runs that are compared; is_main says that sentences are about them, too."""

    first: StrategyRun
    second: StrategyRun
    is_main: bool


def split_names(given: lists.Given) -> tuple[str, ...]:
    """Return the names in a list, or in a text with commas; nothing gives an empty tuple."""
    return tuple(filter(None, lists.parts(given)))


def swept(results: Path) -> set[str]:
    """Return the sweeps under results, and the experiments of their values."""
    found: set[str] = set()
    for path in results.glob(f"*/{SWEEP}"):
        with suppress(InputError, TypeError):  # a damaged one hides no other
            runs = files.read_told(path)["runs"]
            found |= {path.parent.name, *(run["experiment"] for run in runs)}
    return found


def load(
    results: Path,
    names: tuple[str, ...] = (),
    *,
    own: Stage | None = None,
    sweeps: bool = False,
) -> dict[str, ResultFolder]:
    """Return {experiment: its results} of those that were evaluated; names () means all.

    Those of sweeps count where named, or where sweeps is set. own is the running stage: its
    experiment counts with the folders it builds on. Raises InputError for a named experiment that
    is not there, was not evaluated, or is damaged; others are passed over.
    """
    homes = {home.name: home for home in result_folder.homes(results)}
    if own:
        homes[own.experiment] = results / own.experiment
    missing = [name for name in names if name not in homes or (homes[name] / SWEEP).exists()]
    if missing:
        if missing[0] in homes:
            raise InputError(f"{missing[0]} is a sweep: name experiments of its values")
        hint = files.nearest(missing[0], homes)
        raise InputError(f"{results}: no finished experiment {missing[0]!r}{hint}")
    hidden = set() if sweeps else swept(results) - {own.experiment if own else ""}
    found = {}
    for name in names or sorted(homes.keys() - hidden):
        try:
            if own is not None and name == own.experiment:
                built_on = {stage: {"key": path.name} for stage, path in own.upstream.items()}
                latest = ResultFolder.read(homes[name]).stages
                built_on |= {stage: one for stage, one in latest.items() if SEED in stage}
                folder = ResultFolder(homes[name], stages=built_on)
            else:
                folder = ResultFolder.read(homes[name])
            evaluation(folder)
            found[name] = folder
        except InputError:
            if name in names:
                raise
    return found


def evaluation(folder: ResultFolder) -> dict:
    """Return the metrics of an evaluation. Raises InputError where they are gone or damaged."""
    metrics = folder.metrics(EVALUATION)
    if not isinstance(metrics.get("strategies"), dict):
        path = folder.folder(EVALUATION) / METRICS
        raise InputError(f"{path}: damaged; run the experiment again with --force")
    return metrics


def budgets(found: Mapping[str, ResultFolder]) -> dict[str, pd.DataFrame]:
    """Return the table behind each evaluation's budget figure, where git or a run left it."""
    file = "figures/budgets.csv"
    paths = {name: folder.folder(EVALUATION) / file for name, folder in found.items()}
    return {n: pd.read_csv(p, index_col="strategy") for n, p in paths.items() if p.exists()}


def parameter_differences(found: Mapping[str, ResultFolder]) -> pd.DataFrame:
    """Return one row per parameter that is not the same everywhere, one column per experiment."""
    columns = {name: parameters(folder) for name, folder in found.items()}
    names = sorted(set().union(*columns.values()))
    rows = {name: [values.get(name) for values in columns.values()] for name in names}
    differing = {name: row for name, row in rows.items() if any(v != row[0] for v in row)}
    table = pd.DataFrame.from_dict(differing, orient="index", columns=list(columns), dtype=object)
    return table.rename_axis("parameter")


def parameters(folder: ResultFolder) -> dict[str, object]:
    """Return {"stage.name": value} of every stage up to the evaluation, common ones once."""
    common = params.declared()[params.COMMON]
    values: dict[str, object] = {}
    for stage, path in sorted(folder.folders.items()):
        if stage <= EVALUATION and (path / PARAMS).exists():
            for name, value in result_folder.parameters_of(path).items():
                values[f"{params.COMMON if name in common else stage}.{name}"] = value
    return values


def pairs_of(
    first: str, second: str, metrics: Mapping[str, dict], *, main_only: bool
) -> list[Pair]:
    """Return what is compared of two experiments or strategy runs, main strategies first.

    Without a strategy (`demo`) all that both have are. InputError for an unknown strategy.
    """
    one, two = StrategyRun.read(first), StrategyRun.read(second)
    if strategy := one.strategy or two.strategy:
        return [Pair(*(_known(run, strategy, metrics) for run in (one, two)), is_main=True)]
    own, others = metrics[one.experiment], metrics[two.experiment]["strategies"]
    names = own["main"] if main_only else dict.fromkeys([*own["main"], *own["order"]])
    return [
        Pair(one._replace(strategy=name), two._replace(strategy=name), name in own["main"])
        for name in names
        if name in others
    ]


def _known(run: StrategyRun, default: str, metrics: Mapping[str, dict]) -> StrategyRun:
    """Return a run of its strategy, or of the default. Raises InputError for an unknown one."""
    known, strategy = metrics[run.experiment]["strategies"], run.strategy or default
    if strategy not in known:
        hint = files.nearest(strategy, known) or f"; it has {', '.join(known)}"
        raise InputError(f"{run.experiment} has no strategy {strategy!r}{hint}")
    return run._replace(strategy=strategy)


def objects_by_class(strategies: Mapping[str, dict]) -> dict[str, int]:
    """Return how many objects of each class the scores of strategies are of."""
    each = (row.get("per_class", {}).items() for row in strategies.values())
    return {name: one.get("boxes", 0) for row in each for name, one in row}


def versioned_scores(run: StrategyRun, metrics: Mapping[str, dict]) -> pd.Series:
    """Return the SCORES and each class's AP that the metrics of evaluations hold of a run."""
    row = metrics[run.experiment]["strategies"].get(run.strategy, {})
    by_class = {name: values["AP"] for name, values in row.get("per_class", {}).items()}
    whole = {of: row.get(of) for of in SCORES}
    return pd.Series(whole | by_class | whole, dtype=float).dropna()
