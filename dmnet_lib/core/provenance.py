"""What made a result: a stage's parameters, code, data and upstream, and the folder it writes to.

The runner tells a stage its place through environment variables; without them (Run All in
JupyterLab) it writes to `results/<experiment>/<stage>/interactive/`.
"""

import ast
import glob
import html
import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, images, numerics, params, result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.core.project import LIBRARY
from dmnet_lib.core.result_folder import INTERACTIVE, METRICS, PARAMS, PROVENANCE, ResultFolder

PACKAGES = (
    "faster-coco-eval", "matplotlib", "numpy", "Pillow", "pycocotools", "scipy", "simplejpeg",
    "torch", "torchvision",
)  # fmt: skip
TEXT_SUFFIXES = (".txt", ".json", ".xml", ".yaml", ".yml")  # that annotations are read from
DECIMALS = 6  # of a metric; more would show the order of floating-point additions
TOLD_BY_ENDS = (".jpg", ".jpeg", ".png")  # images of one size that differ do so near an end
END_BYTES = 4096  # of their head and tail
# Parameters that decide no weights: where the data lies, what is shown, and what comes after.
UNTRAINED = (
    "data_root", "examples", "model_file", "model_classes", "class_map", "recall_curve_split",
    "fusion_iou", "fusion_top", "truncated_boxes", "view_weight", "calibrate_scores", "votes",
    "suppression", "grids", "tiles_px", "tile_overlap", "budgets",
)  # fmt: skip
CACHE = ".cache"  # below the folder of results
DETECTIONS = f"{CACHE}/detections"


def digest(value: object) -> str:
    """Return 12 hex characters that stand for a value of JSON's types."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()[:12]


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
    return digest(code)


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
    return digest([source, code_digest(source)])


def data_fingerprint(root: Path) -> str:
    """Return a digest of a folder's images and texts, the same on every machine: of names, sizes,
    every byte, and of JPEG and PNG, whose ends differ with all between, those. Links are followed.

    What else is there, such as logs and hidden files, is never read as data and does not count."""
    whole = sha256()
    names = glob.iglob("**", root_dir=root, recursive=True)  # noqa: PTH207 (no hidden ones)
    for name in sorted(Path(name).as_posix() for name in names):
        path = root / name
        if path.suffix.lower() not in (*TEXT_SUFFIXES, *images.SUFFIXES) or path.is_dir():
            continue
        size = path.stat().st_size
        with files.opened(path, most=files.ANY_BYTES) as stream:
            content = sha256()
            if path.suffix.lower() in TOLD_BY_ENDS:
                content.update(stream.read(END_BYTES))
                stream.seek(max(END_BYTES, size - END_BYTES))
            while part := stream.read(2**20):
                content.update(part)
        whole.update(f"{name}\0{size}\0{content.hexdigest()}\n".encode())
    return whole.hexdigest()[:12]


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
        key = digest([self.name, chosen, [*map(files.digest, inputs)], code, kind])
        return self.results / CACHE / "checkpoints" / f"{name}-{key}.pt"

    def detection_cache(self, *inputs: Path) -> Path:
        """Return the folder where detections are cached, named by all that decides them."""
        chosen = [self.params.get(name) for name in ("device", "classes", "score_threshold")]
        code = code_digest("from dmnet_lib.detection import detectors, onnx")
        kind = numerics.kind(self.params)
        key = digest([[*map(files.digest, inputs)], chosen, code, versions(), kind])
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


def begin(name: str, values: Mapping[str, object]) -> Stage:
    """Check the parameters among values, find the stage's folder, write down what makes it.

    values: the notebook's globals(). Raises InputError for one missing, mistyped or out of range.
    """
    told = json.loads(os.environ.get("DMNET_RUN", "{}"))  # what only the runner knows
    base = Path(told.get("base", params.BASE))
    known = params.of_stage(params.declared(base), name, values)
    missing = sorted(set(known) - set(values))
    if missing:
        raise InputError(f"{name}: the parameters cell lacks {', '.join(missing)}")
    chosen = {n: params.check(p, values[n], f"{name}: {n}") for n, p in known.items()}
    experiment = os.environ.get("DMNET_EXPERIMENT", "demo")
    out, upstream = _place(experiment, name)
    stage = Stage(name, experiment, result_folder.results_root(), out, chosen, upstream)
    numerics.pin(chosen)
    out.mkdir(parents=True, exist_ok=True)
    files.remove_parts(out.rglob(files.PARTS))
    (out / METRICS).unlink(missing_ok=True)  # run again, it is unfinished until they are written
    declared = {n: value for n, value in told.get("declared", {}).items() if n in chosen}
    files.write_text(out / PARAMS, params.dump(chosen | declared))
    files.write_json(out / PROVENANCE, _provenance(stage, told))
    files.write_json(out / result_folder.MACHINE, numerics.machine())
    return stage


def versions() -> dict[str, str]:
    """Return the installed versions of the packages that can move a number."""
    found = {name: list(importlib.metadata.distributions(name=name)) for name in PACKAGES}
    return {name: installed[0].version for name, installed in found.items() if installed}


def _place(experiment: str, name: str) -> tuple[Path, dict[str, Path]]:
    if "DMNET_STAGE_DIR" in os.environ:
        given = json.loads(os.environ.get("DMNET_UPSTREAM", "{}"))
        return Path(os.environ["DMNET_STAGE_DIR"]), {s: Path(path) for s, path in given.items()}
    home = result_folder.results_root() / experiment
    # Results that came with a clone are only figures and metrics: nothing can build on them.
    latest = ResultFolder.read(home).folders.values()
    folders = [folder for folder in latest if (folder / result_folder.NOTEBOOK).exists()]
    folders += home.glob(f"*/{INTERACTIVE}")
    finished = [folder / METRICS for folder in folders if (folder / METRICS).exists()]
    finished.sort(key=lambda metrics: metrics.stat().st_mtime)
    upstream = {m.parents[1].name: m.parent for m in finished if m.parents[1].name < name}
    return home / name / INTERACTIVE, upstream


def _provenance(stage: Stage, told: Mapping[str, object]) -> dict[str, object]:
    """Return what made a stage; no times, hosts or paths, so that the same run gives no diff."""
    notebook = files.SOURCES / "notebooks" / f"{stage.name}.ipynb"
    code = told.get("code") or (notebook_digest(notebook) if notebook.exists() else None)
    return {
        "experiment": stage.experiment, "stage": stage.name, "data": told.get("data"),
        "upstream": {name: folder.name for name, folder in stage.upstream.items()},
        "code": code, "packages": versions(),
        "python": platform.python_version(), "machine": platform.machine(),
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
