"""Folders of finished experiments -> tables of what differed between them and what it did."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import pandas as pd

from dmnet_lib.core import files, params, provenance, result_folder

EVALUATION = "06_evaluation"
BUDGETS = "figures/budgets.csv"
SWEEP = "sweep.json"  # in the folder of a sweep: names the experiments of its values
Folders = dict[str, Path]  # of an experiment's finished stages
MEASURES = (
    "AP",
    "AP50",
    "APs",
    "APm",
    "AR500",
    "crops_per_image",
    "megapixels",
    "containment_rate",
)
Read = TypeVar("Read")


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a text with commas; nothing gives an empty tuple."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def swept(results: Path) -> set[str]:
    """Return the sweeps under results, and the experiments of their values."""
    found: set[str] = set()
    for path in results.glob(f"*/{SWEEP}"):
        found |= {path.parent.name, *(run["experiment"] for run in files.read_json(path)["runs"])}
    return found


def load(
    results: Path,
    names: tuple[str, ...] = (),
    *,
    own: provenance.Stage | None = None,
    sweeps: bool = False,
) -> dict[str, Folders]:
    """Return {experiment: {stage: folder}} of those that were evaluated; names () means all.

    Those of sweeps have a page of their own: they count where named, or where sweeps is set. own is
    the running stage: its experiment counts with the folders it builds on. Raises InputError for a
    named experiment that is not there, was not evaluated, or is damaged; others that are damaged
    are passed over.
    """
    latest = {path.parent.name: path for path in sorted(results.glob("*/latest.json"))}
    found = _sound({name: partial(_folders, path) for name, path in latest.items()}, names)
    if own:
        found[own.experiment] = dict(own.upstream)
    missing = [name for name in names if name not in found]
    if missing:
        hint = params.nearest(missing[0], found)
        raise files.InputError(f"{results}: no finished experiment {missing[0]!r}{hint}")
    hidden = set() if sweeps else swept(results) - {own.experiment if own else ""}
    wanted = names or sorted(found.keys() - hidden)
    done = [name for name in wanted if _is_evaluated(found[name])]
    unfinished = [name for name in names if name not in done]
    if unfinished and (results / unfinished[0] / SWEEP).exists():
        raise files.InputError(f"{unfinished[0]!r} is a sweep: name one of its experiments")
    if unfinished:
        raise files.InputError(f"{results}: {unfinished[0]!r} has no {EVALUATION} yet; run it")
    sound = _sound({name: partial(evaluation, found[name]) for name in done}, names)
    return {name: found[name] for name in sound}


def _sound(reads: Mapping[str, Callable[[], Read]], names: tuple[str, ...]) -> dict[str, Read]:
    """Return what can be read. Raises InputError for one of names that cannot."""
    found = {}
    for name, read in reads.items():
        try:
            found[name] = read()
        except files.InputError:
            if name in names:
                raise
    return found


def _folders(latest: Path) -> Folders:
    told = files.read_json(latest)
    try:
        stages = told["stages"].items()
        return {name: latest.parent / name / entry["key"] for name, entry in stages}
    except (KeyError, TypeError, AttributeError):
        raise files.InputError(f"{latest}: damaged; run the experiment again") from None


def _is_evaluated(folders: Folders) -> bool:
    return EVALUATION in folders and (folders[EVALUATION] / result_folder.METRICS).exists()


def evaluation(folders: Folders) -> dict:
    """Return what an evaluation found. Raises InputError where it is damaged."""
    path = folders[EVALUATION] / result_folder.METRICS
    found = files.read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("strategies"), dict):
        raise files.InputError(f"{path}: damaged; run the experiment again with --force")
    return found


def own_first(found: Iterable[str], own: str) -> list[str]:
    """Return the names with an experiment's own first, where it is among them."""
    return sorted(found, key=lambda name: name != own)


def budgets(found: Mapping[str, Folders]) -> dict[str, pd.DataFrame]:
    """Return the table behind each evaluation's budget figure, where git or a run left it."""
    paths = {name: folders[EVALUATION] / BUDGETS for name, folders in found.items()}
    there = {name: path for name, path in paths.items() if path.exists()}
    return {name: pd.read_csv(path, index_col="strategy") for name, path in there.items()}


def joined(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return tables of experiments as one, the experiment in front."""
    named = [table.reset_index().assign(experiment=name) for name, table in tables.items()]
    whole = pd.concat(named) if named else pd.DataFrame({"experiment": []})
    return whole[["experiment", *whole.columns.drop("experiment")]]


def overview(found: Mapping[str, Folders]) -> pd.DataFrame:
    """Return one row an experiment: its split, images, best strategy and AP."""
    rows = {}
    for name, folders in found.items():
        metrics = evaluation(folders)
        scores = {s: row["AP"] or 0.0 for s, row in metrics["strategies"].items()}
        best = max(scores, key=scores.get)
        rows[name] = {"split": metrics["split"], "images": metrics["images"], "best": best,
                      "AP": round(scores[best], 3)}  # fmt: skip
    return pd.DataFrame(rows).T.rename_axis("experiment")


def parameter_differences(found: Mapping[str, Folders]) -> pd.DataFrame:
    """Return one row a parameter that is not the same everywhere, one column an experiment."""
    columns = {name: parameters(folders) for name, folders in found.items()}
    names = sorted({name for values in columns.values() for name in values})
    rows = {name: [values.get(name) for values in columns.values()] for name in names}
    differing = {name: row for name, row in rows.items() if any(v != row[0] for v in row)}
    table = pd.DataFrame.from_dict(differing, orient="index", columns=list(columns), dtype=object)
    return table.rename_axis("parameter")


def parameters(folders: Folders) -> dict[str, object]:
    """Return {"stage.name": value} of every stage up to the evaluation, common ones once."""
    common = params.declared()[params.COMMON]
    values: dict[str, object] = {}
    for stage, folder in sorted(folders.items()):
        path = folder / result_folder.PARAMS
        if stage <= EVALUATION and path.exists():
            flat = params.parse(path.read_text(encoding="utf-8"))
            sections = {name: params.COMMON if name in common else stage for name in flat}
            values |= {f"{sections[name]}.{name}": value for name, value in flat.items()}
    return values


def strategy_table(found: Mapping[str, Folders]) -> pd.DataFrame:
    """Return one row a strategy and experiment with its measures; main strategies only."""
    rows = {
        (strategy, name): {
            measure: metrics["strategies"][strategy].get(measure) for measure in MEASURES
        }
        for name, folders in found.items()
        for metrics in (evaluation(folders),)
        for strategy in metrics.get("main", metrics["strategies"])
    }
    table = pd.DataFrame(rows).T.astype(float)
    table.index = pd.MultiIndex.from_tuples(rows, names=["strategy", "experiment"])
    return table
