"""A notebook's cells -> the run that they open: its parameters, and its products to build on.

For notebooks that people run, in JupyterLab or by papermill; the runner tells its stages what they
take. `lineage` says what of a run's products belongs together.
"""

import ast
import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from dmnet_lib.core import files, lineage, params, result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.core.params import COMMON, Parameter, Value
from dmnet_lib.core.result_folder import INTERACTIVE, PARAMS, ResultFolder

EXPERIMENT, DEFAULT = "experiment", "demo"  # the parameter that names the run, and its default
INJECTED, BEGIN = "# Parameters", "provenance.begin("  # what tells papermill's cell, and begin's
PAPERMILL = "PAPERMILL_"  # begins the names of what papermill tells of itself
_kernel = {"cell": DEFAULT, "choice": ""}  # the run that the cell names, and one chosen instead
Parameters = Mapping[str, Parameter]  # by name
Known = Mapping[str, Parameters]  # base.yaml's, by section


@dataclass(frozen=True)
class Opened:
    """A run as a stage takes it: the values in force, the run's own, and what it builds on.

    sections: those taken of a parameter file that papermill was given.
    """

    stage: str
    home: Path
    values: dict[str, Value]
    own: dict[str, Value]
    upstream: dict[str, Path]
    sections: tuple[str, ...] = ()

    @property
    def out(self) -> Path:
        """The folder that the stage writes to."""
        return self.home / self.stage / INTERACTIVE

    def words(self) -> str:
        """Return the line that says what is opened, what it builds on, and what differs."""
        of, parts = self.values, []
        if {"dataset", "data_root"} <= of.keys():
            parts.append(f"{of['dataset']} in {of['data_root']}")
        if self.upstream:
            built = (f"{name} ({lineage.made(path)})" for name, path in self.upstream.items())
            parts.append(f"builds on {', '.join(built)}")
        if self.sections:
            parts.append(f"takes {' and '.join(self.sections)} of the parameter file")
        moved = {name: own for name, own in self.own.items() if own != of[name]}
        if moved:
            told = (f"{lineage.told(n, of[n])} (own: {params.words_of(moved[n])})" for n in moved)
            parts.append(f"differs from the run in {', '.join(told)}")
        return f"run {self.home.name}: {'; '.join([*parts, f'writes {params.shown(self.out)}'])}"


def choose(experiment: str) -> None:
    """Open a run at the next `begin` of this kernel, until the parameters cell names another."""
    _kernel["choice"] = experiment


def listed(stage: str) -> list[str]:
    """Return the names of the runs that have all that a stage builds on."""
    needs, found = {*_about(stage).get("needs", ())}, []
    folders = result_folder.results_root().glob("*/[0-9][0-9]_*/*/")
    for home in sorted({folder.parents[1] for folder in folders}):
        with contextlib.suppress(InputError):  # a damaged one
            found += [home.name] if needs <= lineage.usable(home).keys() else []
    return found


def opened(stage: str, cells: Mapping[str, object], parameters: Parameters, known: Known) -> Opened:
    """Return the run that a notebook's cells name, as a stage takes it.

    cells: the notebook's globals(); parameters: those that it declares, of all that are known. One
    that has base.yaml's default takes the run's own value. Raises InputError for unknown names, and
    for products that are not there or do not fit.
    """
    home = result_folder.results_root() / _experiment(cells)
    about, there = _about(stage), lineage.usable(home)
    before = {name: folder for name, folder in there.items() if name < stage}
    compares = about.get("reads_results", False)  # it builds on whatever is there
    needs = before if compares else about.get("needs", before)
    _require_there(stage, home, [name for name in needs if name not in there])
    upstream = {name: there[name] for name in needs}
    given, sections = _given(stage, cells, parameters, known)
    own, values = _own_values(stage, home, parameters, upstream), {}
    for name, parameter in parameters.items():
        is_default = name not in given and cells[name] == parameter.default
        value = own.get(name, cells[name]) if is_default else given.get(name, cells[name])
        values[name] = params.check(parameter, value, f"{stage}: {name}")
    if not compares:
        common = {name: value for name, value in values.items() if name in known[COMMON]}
        lineage.require_same(stage, common, upstream, there)
    if "seeds" in values:
        upstream |= lineage.of_further_seeds(home, upstream)
    return Opened(stage, home, values, own, upstream, sections)


def _experiment(cells: Mapping[str, object]) -> str:
    cell = str(cells.get(EXPERIMENT, DEFAULT))
    if cell != _kernel["cell"]:  # what was chosen beside another name no longer counts
        _kernel.update(cell=cell, choice="")
    given = os.environ.get("DMNET_EXPERIMENT") or DEFAULT
    name = _kernel["choice"] or (cell if cell != DEFAULT else given)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise InputError(f"{EXPERIMENT}: {name!r} may hold letters, digits, _ and - only")
    return name


def _about(stage: str) -> Mapping[str, object]:
    """Return what a stage's notebook says that it needs; nothing of one that is not there."""
    path = files.SOURCES / "notebooks" / f"{stage}.ipynb"
    return files.read_json(path)["metadata"]["dmnet"] if path.exists() else {}


def _file(home: Path) -> Path:
    return files.ROOT / "params" / f"{home.name}.yaml"


def _require_there(stage: str, home: Path, missing: list[str]) -> None:
    if not missing:
        return
    if not home.exists() and not _file(home).exists():
        runs = [path.name for path in home.parent.glob("[!.]*/")]
        hint = files.nearest(home.name, runs) or f"; run notebook {missing[0]} to begin one"
        raise InputError(f"{home}: no such run{hint}")
    latest = ResultFolder.read(home).folders
    has = "figures and metrics alone" if latest.keys() & {*missing} else "no results"
    remedy = f"run notebook {missing[0]} first"
    if _file(home).exists():
        command = f"dmnet run {params.shown(_file(home))} --until {missing[-1]}"
        remedy = f"`{command}` makes them, or {remedy}"
    told = f"{stage} builds on {' and '.join(missing)}, of which {params.shown(home)} has {has}"
    raise InputError(f"{told}: {remedy}")


def _own_values(
    stage: str, home: Path, parameters: Parameters, upstream: Mapping[str, Path]
) -> dict[str, Value]:
    """Return a run's own values: as the stage was run, else as the run's file has them.

    Where there is neither, values that all stages share are those of the stages before.
    """
    results, found = ResultFolder.read(home), {}
    where = results.folders.get(stage, home) / PARAMS
    if where.exists():
        found = result_folder.parameters_of(where.parent)
    elif results.stages:
        found = params.of_stage(results.changed, stage, parameters)
    elif (where := _file(home)).exists():
        changed = params.load(where, base_path=params.BASE).changed
        found = params.of_stage(changed, stage, parameters)
    else:
        shared = [name for name, one in parameters.items() if one.section == COMMON]
        for folder in upstream.values():
            theirs = result_folder.parameters_of(folder)
            found |= {name: theirs[name] for name in shared if name in theirs}
    own = {name: value for name, value in found.items() if name in parameters}
    return {n: params.check(parameters[n], v, f"{where}: {n}") for n, v in own.items()}


def _given(
    stage: str, cells: Mapping[str, object], parameters: Parameters, known: Known
) -> tuple[dict[str, object], tuple[str, ...]]:
    """Return what papermill was given by name, or in sections of a file, and these sections.

    Raises InputError for what is no parameter of the stage, or of a section.
    """
    found, taken, named = {}, [], {}
    for name in _injected(cells):
        if not isinstance(cells[name], dict):
            named[name] = cells[name]
            continue
        if name not in known:
            params.find(known, name, "", "parameter file")
        for own, value in cells[name].items():
            parameter = params.find(known, name, own, "parameter file")
            if parameters.get(own) == parameter:
                found[own] = _as_declared(parameter, value)
        taken += [name] if name in (COMMON, stage) else []
    of_stage = {**known, stage: {**parameters, EXPERIMENT: None}}
    for name in named:
        params.find(of_stage, stage, name, f"{stage}.ipynb")
    return found | named, tuple(taken)


def _as_declared(parameter: Parameter, value: object) -> object:
    """Return a file's value as this project reads it: papermill takes 1e-6 for text."""
    if isinstance(value, str) and not isinstance(parameter.default, str):
        with contextlib.suppress(yaml.YAMLError):
            return params.parse(value)
    return value


def _injected(cells: Mapping[str, object]) -> list[str]:
    """Return the names in papermill's cell, if it ran after the last `begin`."""
    history = [str(source) for source in cells.get("In", ())]  # IPython's, this cell the last
    for source in reversed(history[:-1]):
        if source.startswith(INJECTED):
            assigned = [n for n in ast.parse(source).body if isinstance(n, ast.Assign)]
            names = (_name(node.targets[0]) for node in assigned)
            return [name for name in names if not name.startswith(PAPERMILL)]
        if BEGIN in source:
            break
    return []


def _name(target: ast.expr) -> str:
    """Return what an assignment assigns: `name`, or `globals()['name']`."""
    return target.id if isinstance(target, ast.Name) else ast.literal_eval(target.slice)
