"""What made a result: a stage's parameters, code, data and upstream, and the folder it writes to.

The runner tells a stage its place through environment variables. Without them (JupyterLab, or
papermill by hand) the stage opens a run, and writes to `results/<run>/<stage>/interactive/`.
"""

import ast
import glob
import html
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from hashlib import file_digest, sha256
from itertools import accumulate
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, images, lineage, numerics, parallel, params, result_folder, runs
from dmnet_lib.core.files import InputError
from dmnet_lib.core.project import LIBRARY
from dmnet_lib.core.result_folder import METRICS, PARAMS, PROVENANCE

PACKAGES = (
    "faster-coco-eval", "matplotlib", "numpy", "Pillow", "pycocotools", "scipy", "simplejpeg",
    "torch", "torchvision",
)  # fmt: skip
TEXT_SUFFIXES = (".txt", ".json", ".xml", ".yaml", ".yml")  # that annotations are read from
RUNNER = parallel.RUNNER  # environment variable: where the runner lets a stage write
DECIMALS = 6  # of a metric; more would show the order of floating-point additions
# Parameters that decide no result: where the data lies, and networks run: `numerics.kind` says on
# what they do.
UNKEYED = ("data_root", "device")
# Parameters that decide no weights: what is shown, and what comes after.
UNTRAINED = (
    *UNKEYED, "examples", "model_file", "model_classes", "class_map", "recall_curve_split",
    "fusion_iou", "fusion_top", "truncated_boxes", "view_weight", "calibrate_scores", "votes",
    "suppression", "grids", "tiles_px", "tile_overlap", "budgets",
)  # fmt: skip
CACHE = ".cache"  # below the folder of results
DETECTIONS = f"{CACHE}/detections"


def code_modules(source: str) -> list[str]:
    """Return the dmnet_lib modules that Python source imports, and all they import, sorted."""
    found: set[str] = set()
    waiting = _imports(source)
    while waiting:
        found |= waiting
        sources = [_module_path(name).read_text(encoding="utf-8") for name in waiting]
        waiting = set().union(*map(_imports, sources)) - found
    return sorted(found)


def code_digest(source: str) -> str:
    """Return the digest of the library code that source imports, without comments and layout."""
    code = {}
    for name in code_modules(source):
        path = _module_path(name)
        values = path.with_suffix(".toml")
        bare = _bare(path.read_text(encoding="utf-8"))
        code[name] = [bare, values.read_text("utf-8") if values.exists() else ""]
    return files.digest_of(code)


@cache
def _bare(source: str) -> str:
    """Return source without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def notebook_code(path: Path) -> str:
    """Return the source of a notebook's code cells, without magics. InputError if no Python."""
    notebook = files.read_json(path)
    cells = [cell for cell in notebook.get("cells", []) if cell["cell_type"] == "code"]
    lines = "\n\n".join("".join(cell["source"]) for cell in cells).split("\n")
    source = "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))
    try:
        ast.parse(source)
    except SyntaxError as error:
        raise InputError(f"{params.shown(path)}: a code cell is not Python ({error.msg})") from None
    return source


def parameter_names(path: Path) -> frozenset[str]:
    """Return the names in a notebook's parameters cell. Raises InputError unless it has one."""
    cells = files.read_json(path).get("cells", ())
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    if len(tagged) != 1:
        raise InputError(f"{params.shown(path)}: one cell must have the tag `parameters`")
    assigned = ast.parse("".join(tagged[0]["source"])).body
    return frozenset(node.target.id for node in assigned if isinstance(node, ast.AnnAssign))


def notebook_digest(path: Path) -> str:
    """Return the digest of a notebook's code and of the library code that it imports."""
    source = notebook_code(path)
    return files.digest_of([source, code_digest(source)])


def data_fingerprint(root: Path) -> str:
    """Return a digest of a folder's images and texts, the same on every machine.

    Names, sizes and every byte count, which takes a core some seconds for 2 GB. Links are followed.
    What else is there, such as logs and hidden files, is never read as data and does not count.
    """
    names = glob.iglob("**", root_dir=root, recursive=True)  # noqa: PTH207 (no hidden ones)
    kinds, paths = (*TEXT_SUFFIXES, *images.SUFFIXES), sorted(map(Path, names), key=Path.as_posix)
    counted = [one for one in paths if one.suffix.lower() in kinds and not (root / one).is_dir()]
    with ThreadPoolExecutor(parallel.cores()) as threads:
        lines = list(threads.map(lambda path: _line_of(root, path), counted))
    return sha256("".join(lines).encode()).hexdigest()[:12]


def _line_of(root: Path, path: Path) -> str:
    """Return a line of a file's path below root, its size and its digest."""
    with files.opened(root / path, most=files.ANY_BYTES) as stream:
        content = file_digest(stream, "sha256").hexdigest()
        return f"{path.as_posix()}\0{stream.tell()}\0{content}\n"


@dataclass(frozen=True)
class Stage:
    """One notebook's run: its parameters, where it writes, and earlier stages' folders by name."""

    name: str
    experiment: str
    results: Path
    out: Path
    params: dict[str, params.Value]
    upstream: dict[str, Path]

    def needs(self, stage: str) -> Path:
        """Return the folder of an earlier stage. Raises InputError where it was not run."""
        if stage not in self.upstream:
            raise InputError(f"{self.name} builds on {stage}: run notebooks/{stage}.ipynb first")
        return self.upstream[stage]

    def needs_of_seeds(self, stage: str, seeds: int) -> list[Path]:
        """Return an earlier stage's folder of each training seed; only the runner knows several."""
        self.needs(stage)
        return result_folder.of_seeds(self.upstream, stage)[:seeds]

    def checkpoint(self, name: str, *inputs: Path) -> Path:
        """Return the file where training keeps its state, named by all that decides the weights."""
        chosen = {n: v for n, v in self.params.items() if n not in UNTRAINED}
        code = code_digest("from dmnet_lib.training import density, detection, loop")
        kind = numerics.kind(self.params)
        key = files.digest_of([self.name, chosen, [*map(files.digest, inputs)], code, kind])
        return self.results / CACHE / "checkpoints" / f"{name}-{key}.pt"

    def detection_cache(self, *inputs: Path) -> Path:
        """Return the folder where detections are cached, named by all that decides them."""
        chosen = [self.params.get(name) for name in ("classes", "score_threshold")]
        code = code_digest("from dmnet_lib.detection import detectors, onnx")
        kind = numerics.kind(self.params)
        key = files.digest_of([[*map(files.digest, inputs)], chosen, code, versions(), kind])
        return self.results / DETECTIONS / key

    def write_metrics(self, metrics: Mapping[str, object]) -> None:
        """Write metrics.json. Raises ValueError that names an entry that is no finite number."""
        files.write_json(self.out / METRICS, _plain(metrics, "metrics"))

    def write_timings(self, timings: Mapping[str, object]) -> None:
        """Write timings.json: what differs from machine to machine, and so is not versioned."""
        files.write_json(self.out / result_folder.TIMINGS, _plain(timings, "timings"))

    def _repr_html_(self) -> str:
        row = "<tr><td>{}</td><td>{}</td></tr>"
        cells = [(name, html.escape(str(value))) for name, value in sorted(self.params.items())]
        rows = "".join(row.format(*one) for one in cells)
        return f"<table><tr><th>parameter</th><th>value</th></tr>{rows}</table>"


def begin(name: str, values: MutableMapping[str, object]) -> Stage:
    """Check the parameters among values, find the stage's folder, write down what makes it.

    values: the notebook's globals(), which take the values in force; see `runs.opened`. Raises
    InputError, before anything is written, for a parameter that is missing, mistyped or out of
    range, and for results to build on that are missing or do not fit.
    """
    told = json.loads(os.environ.get("DMNET_RUN", "{}"))  # what only the runner knows
    known = params.declared(Path(told.get("base", params.BASE)))
    take = _told if RUNNER in os.environ else _opened
    notebook = files.SOURCES / "notebooks" / f"{name}.ipynb"
    is_source = take is _opened and notebook.exists()  # the runner has checked the names
    names = parameter_names(notebook) & values.keys() if is_source else values
    parameters = params.of_stage(known, name, names)
    if missing := sorted(set(parameters) - set(values)):
        raise InputError(f"{name}: the parameters cell lacks {', '.join(missing)}")
    stage = take(name, values, parameters, known)
    params.require_effect(stage.params, parameters, "the parameters cell")
    values.update(stage.params)
    numerics.pin(stage.params)
    stage.out.mkdir(parents=True, exist_ok=True)
    files.remove_parts(stage.out.rglob(files.PARTS))
    (stage.out / METRICS).unlink(missing_ok=True)  # run again, it is unfinished until they come
    declared = {n: value for n, value in told.get("declared", {}).items() if n in stage.params}
    files.write_text(stage.out / PARAMS, params.dump(stage.params | declared))
    files.write_json(stage.out / PROVENANCE, _provenance(stage, told))
    files.write_json(stage.out / result_folder.MACHINE, numerics.machine() | {"commit": commit()})
    return stage


def commit() -> str:
    """Return the library's commit, -dirty where its repository has changes; "" if not in git."""
    is_tracked = git(LIBRARY, "log", "-1", "--format=%h", "--", ".")
    return is_tracked and git(LIBRARY, "describe", "--always", "--dirty", "--exclude=*")


def git(folder: Path, *command: str) -> str:
    """Return what git says in a folder; nothing where there is no git, or no repository."""
    try:
        ran = subprocess.run(
            ["git", "-C", str(folder), *command], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that can move a number."""
    found = {name: list(importlib.metadata.distributions(name=name)) for name in PACKAGES}
    return {name: installed[0].version for name, installed in found.items() if installed}


def _told(
    name: str, values: Mapping[str, object], parameters: runs.Parameters, _: runs.Known
) -> Stage:
    """Return the stage as the runner tells it."""
    chosen = {n: params.check(p, values[n], f"{name}: {n}") for n, p in parameters.items()}
    given = json.loads(os.environ.get("DMNET_UPSTREAM", "{}"))
    upstream = {stage: Path(path) for stage, path in given.items()}
    experiment = os.environ.get("DMNET_EXPERIMENT", runs.DEFAULT)
    out, results = Path(os.environ[RUNNER]), result_folder.results_root()
    return Stage(name, experiment, results, out, chosen, upstream)


def _opened(
    name: str, values: Mapping[str, object], parameters: runs.Parameters, known: runs.Known
) -> Stage:
    """Return the stage in the run that a notebook's cells name, and print what that is."""
    run = runs.opened(name, values, parameters, known)
    sys.stdout.write(f"{run.words()}\n")
    return Stage(name, run.home.name, run.home.parent, run.out, run.values, run.upstream)


def _provenance(stage: Stage, told: Mapping[str, object]) -> dict[str, object]:
    """Return what made a stage; no times, hosts or paths, so that the same run gives no diff."""
    notebook = files.SOURCES / "notebooks" / f"{stage.name}.ipynb"
    code = told.get("code") or (notebook_digest(notebook) if notebook.exists() else None)
    return {
        "experiment": stage.experiment, "stage": stage.name, "data": told.get("data"),
        **lineage.described(stage.upstream),
        "code": code, "packages": versions(),
        "machine": platform.machine(),
        "numerics": numerics.kind(stage.params),
    }  # fmt: skip


def _module_path(name: str) -> Path:
    path = LIBRARY.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imports(source: str) -> set[str]:
    """Return the dmnet_lib modules that code imports, also inside functions, and their packages."""
    return {name for name in _imported(source) if _module_path(name).exists()}


@cache
def _imported(source: str) -> frozenset[str]:
    """Return what code imports of dmnet_lib: modules, their packages, and names of modules."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):  # the library has no relative imports
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    ours = [name.split(".") for name in names if name.partition(".")[0] == LIBRARY.name]
    return frozenset(head for parts in ours for head in accumulate(parts, "{}.{}".format))


def _plain(value: object, where: str) -> object:
    """Return value in JSON's types, floats rounded. ValueError for one that is not finite."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise ValueError(f"{where} is {value}; write a number, or None where there is none")
    return round(value, DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
