"""Parameter files and notebooks -> each stage's key, and whether a finished folder of it is there.

A stage's key stands for all that makes it: parameters, code, data and the keys of the stages it
needs. One with a finished folder of its key, in any experiment, is not run again.

A notebook with a parameter `seeds` gets what it needs of so many training seeds: what depends on
the seed is run for each.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core import files, lineage, numerics, params, provenance, result_folder, runs
from dmnet_lib.core.files import ROOT, InputError
from dmnet_lib.core.made import Made
from dmnet_lib.core.result_folder import METRICS, NOTEBOOK, PARAMS, PROVENANCE, SEED, ResultFolder
from dmnet_lib.data import splits
from dmnet_lib.evaluation import experiments
from dmnet_lib.running import checks

NOTEBOOKS = files.SOURCES / "notebooks"
NOT_RUN = "not run before"


@dataclass(frozen=True)
class Notebook:
    """One stage's source: stages it needs, files it writes, names in its parameters cell.

    reads_results: it looks at the other experiments too, so their keys enter its own.
    """

    path: Path
    needs: tuple[str, ...]
    outputs: tuple[str, ...]
    names: frozenset[str]
    reads_results: bool


@dataclass(frozen=True)
class StagePlan:
    """What happens to one stage, and why; source is another experiment's folder to reuse.

    name: as in latest.json, with a further training seed; values and upstream: what it is told.
    """

    name: str
    folder: Path
    values: Mapping[str, params.Value]
    upstream: Mapping[str, Path]
    run: bool
    why: str
    source: Path | None = None

    @property
    def stage(self) -> str:
        """The name without the seed."""
        return self.folder.parent.name

    @property
    def key(self) -> str:
        """What stands for all that makes it."""
        return self.folder.name

    @property
    def record(self) -> dict[str, object]:
        """What happens to it, for JSON."""
        return {"stage": self.name, "key": self.key, "run": self.run, "why": self.why}

    def words(self, verb: str) -> str:
        """Return a line on the stage; verb says what happens to one that is not finished."""
        return f"{self.name}  {self.key}  {verb if self.run else 'cached'}: {self.why}"


def read_notebooks(folder: Path) -> dict[str, Notebook]:
    """Return the stages of a folder, `NN_*.ipynb` in order of name. Raises InputError at a flaw."""
    found: dict[str, Notebook] = {}
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        provenance.notebook_code(path)  # raises where a cell is no Python
        about, where = files.read_told(path).get("metadata", {}).get("dmnet"), params.shown(path)
        if not isinstance(about, dict):
            raise InputError(f"{where}: its metadata must hold dmnet: needs and writes")
        needs = tuple(about.get("needs", ()))
        outputs = (METRICS, PARAMS, PROVENANCE, *about.get("writes", ()))
        for need in set(needs) - set(found):
            raise InputError(f"{where}: needs {need}, no earlier stage{files.nearest(need, found)}")
        names = provenance.parameter_names(path)
        found[path.stem] = Notebook(path, needs, outputs, names, bool(about.get("reads_results")))
    if not found:
        raise InputError(f"{params.shown(folder)}: no notebook named like 01_name.ipynb")
    return found


def up_to(until: str, names: Iterable[str]) -> str:
    """Return the stage that is meant by its name or number. Raises InputError that lists all."""
    known = list(names)
    found = [one for one in known if until.zfill(2) in (one, one.partition("_")[0])]
    if len(found) != 1:
        told = f"no such stage{files.nearest(until, known)}; there are {', '.join(known)}"
        raise InputError(f"--until {until}: {told}")
    return found[0]


def check_names(notebooks: Mapping[str, Notebook], base_path: Path = params.BASE) -> None:
    """Raise InputError where a notebook's parameters cell and base.yaml name different things."""
    known = params.declared(base_path)
    for name, notebook in notebooks.items():
        expected = set(params.of_stage(known, name, notebook.names))
        if differing := expected ^ (notebook.names - {runs.EXPERIMENT}):
            where = f"{params.shown(notebook.path)}: {', '.join(sorted(differing))}"
            raise InputError(f"{where}: in the parameters cell or in base.yaml, and must in both")


def find_data(experiment: params.Experiment) -> tuple[Path | None, str]:
    """Return the real data's folder (None: scenes) and its name in keys. InputError if absent."""
    common = experiment.sections.get(params.COMMON, {})
    dataset = str(common.get("dataset", splits.SCENES))
    if dataset == splits.SCENES:
        return None, dataset
    root = splits.data_root(dataset, str(common["data_root"])).resolve()
    if not root.is_dir() or not any(root.iterdir()):
        hint = f"set {splits.DATA_ROOT} to the folder of your {dataset} data"
        raise InputError(f"{root}: no data there; {hint}")
    return root, provenance.data_fingerprint(root)


def plan(
    experiment: params.Experiment, notebooks: Mapping[str, Notebook], home: Path, *, data: str
) -> list[StagePlan]:
    """Return what a run does with each stage; home: results/<experiment>, data: of `find_data`.

    Raises InputError for what a stage would refuse.
    """
    checks.check(experiment)
    before, folders, plans = ResultFolder.read(home).all_folders, {}, []
    for name, values, upstream in _runs(experiment, notebooks, folders):
        stage = name.partition(SEED)[0]
        notebook = notebooks[stage]
        made_of = _made_of(notebook, values, home, data, upstream)
        folder = home / stage / files.digest_of(made_of)
        if folder in folders.values():  # the seed plays no part in it
            continue
        folders[name] = folder
        generates_scenes = stage == min(notebooks) and data == splits.SCENES
        scenes_root = ROOT / str(values["data_root"]) if generates_scenes else None
        why, source = _why_unfinished(folder, notebook, scenes_root), None
        if why and not notebook.reads_results:  # such a stage is each experiment's own
            places = sorted(home.parent.glob(f"*/{stage}/{folder.name}"))
            whole = (p for p in places if not _why_unfinished(p, notebook, scenes_root))
            source = next(whole, None)
        if source:
            why = f"reused from experiment {source.parents[1].name}"
        elif why == NOT_RUN and name in before:
            why = _difference(before[name], made_of)
        run, why = bool(why) and source is None, why or "same key finished before"
        plans.append(StagePlan(name, folder, values, upstream, run, why, source))
    return plans


def _runs(
    experiment: params.Experiment, notebooks: Mapping[str, Notebook], folders: Mapping[str, Path]
) -> Iterator[tuple[str, dict[str, params.Value], dict[str, Path]]]:
    """Yield each run of a stage: name, values and upstream folders, of those planned so far."""
    common, again = experiment.sections.get(params.COMMON, {}), set()
    first, count = int(common.get("seed", 0)), int(common.get("seeds", 1))
    for name, notebook in reversed(notebooks.items()):
        again |= {*notebook.needs} if "seeds" in notebook.names or name in again else set()
    further = {f"{SEED}{seed}": {"seed": seed} for seed in range(first + 1, first + count)}
    for name, notebook in notebooks.items():
        values = params.of_stage(experiment.sections, name, notebook.names)
        upstream = {need: folders[need] for need in notebook.needs}
        if "seeds" in notebook.names:
            named = [f"{need}{suffix}" for need in notebook.needs for suffix in further]
            upstream |= {need: folders[need] for need in named if need in folders}
        yield name, values, upstream
        for suffix, seed in further.items() if name in again else ():
            own = {need: folders.get(f"{need}{suffix}", folders[need]) for need in notebook.needs}
            yield f"{name}{suffix}", values | (seed if "seed" in values else {}), own


def _made_of(
    notebook: Notebook, values: Mapping[str, params.Value], home: Path, data: str,
    upstream: Mapping[str, Path],
) -> dict[str, object]:  # fmt: skip
    made_of: dict[str, object] = {
        "params": {n: v for n, v in values.items() if n not in provenance.UNKEYED},
        "code": provenance.notebook_digest(notebook.path),
        "data": data,
        "numerics": numerics.kind(values),
        "upstream": {need: folder.name for need, folder in upstream.items()},
    }
    if values.get("architecture") == "onnx":
        made_of["model"] = files.digest(files.model_path(str(values["model_file"])))
    if values.get("recall_curve"):
        made_of["curve"] = files.digest(files.ROOT / str(values["recall_curve"]))
    if notebook.reads_results:
        named = experiments.split_names(values.get("names", ()))
        made_of["results"] = other_results(home, notebook.path.stem, named)
    return made_of


def other_results(home: Path, stage: str, named: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the keys of all stages but this one in the other experiments, without sweeps'.

    What git alone brought has no detections, without which differences have no intervals: it is
    told apart.
    """
    hidden = {home.name, *experiments.swept(home.parent)} - set(named)
    found = {}
    for other in result_folder.homes(home.parent):
        try:
            folders = ResultFolder.read(other).all_folders if other.name not in hidden else None
        except InputError:  # as when they are compared, a damaged one counts only where named
            if other.name in named:
                raise
            continue
        if folders is not None:
            found[other.name] = {
                name: path.name if (path / NOTEBOOK).exists() else f"{path.name} of git"
                for name, path in folders.items()
                if name != stage
            }
    return found


def _why_unfinished(folder: Path, notebook: Notebook, scenes_root: Path | None) -> str:
    """Return why a folder is not finished, or "". scenes_root: of the stage that makes scenes."""
    if not (folder / METRICS).exists():
        return NOT_RUN
    if not all((folder / n).exists() for n in (*notebook.outputs, NOTEBOOK)):
        return "the outputs were not kept"
    if not Made.at(folder, "run", ()).is_whole():
        return "an output is not whole"
    if scenes_root:
        about = folder / lineage.FINGERPRINT
        about = files.read_told(about) if about.exists() else {}
        there = provenance.data_fingerprint(scenes_root) if scenes_root.is_dir() else ""
        if not there or about.get("fingerprint", there) != there:
            return "the scenes it generates are gone"
    return ""


def _difference(folder: Path, made_of: Mapping[str, object]) -> str:
    if not (folder / PARAMS).exists() or not (folder / PROVENANCE).exists():
        return NOT_RUN
    was, old = files.read_told(folder / PROVENANCE), result_folder.parameters_of(folder)
    new, keys = made_of["params"], was.get("upstream", {})
    moved = [name for name in sorted(new) if name not in old or old[name] != new[name]]
    found = [f"changed parameters: {', '.join(moved)}"] if moved else []
    found += [
        f"changed {kind}" for kind in ("code", "data", "numerics") if was.get(kind) != made_of[kind]
    ]
    found += [f"new {need}" for need, key in made_of["upstream"].items() if keys.get(need) != key]
    return "; ".join(found) or NOT_RUN
