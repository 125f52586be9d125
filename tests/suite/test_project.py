"""The house rules, each with the case that must break it: ladder, notebooks, dependencies."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dmnet_lib import params, runner
from dmnet_lib.files import ROOT

LIBRARY = ROOT / "dmnet_lib"
# Imports go down only. A package (a name without dots below) is one module for its neighbours.
LADDER = (
    ("boxes", "files", "index", "parallel", "params", "profiles", "provenance"),
    ("annotations", "detections", "recall"),
    ("points", "sizes", "weights", "overlaps"),
    (
        "formats",
        "datasets",
        "scenes",
        "density",
        "windows",
        "regions",
        "crops",
        "fusion",
        "mcnn",
        "planning",
    ),
    ("detectors", "evaluation"),
    ("onnx", "plans"),
    ("cropping", "exporting", "training"),
    ("strategies", "deviations", "pictures", "tiling", "video"),
    ("scoring", "experiments", "predicting"),
    ("budgets", "figures", "parts"),
    ("overlays",),
    ("report",),
    ("runner",),
    ("commands",),
    ("cli",),
)
GROUND = {  # within rung 0 the order matters
    "files": set(),
    "boxes": {"files"},
    "index": {"boxes", "files"},
    "parallel": {"files"},
    "params": {"files", "profiles"},
    "profiles": {"files"},
    "provenance": {"files", "index", "params"},
}
HOMES = {
    "matplotlib": {"figures"},
    "papermill": {"runner"},
    "nbconvert": {"report"},
    "pycocotools": {"evaluation"},
    "faster_coco_eval": {"evaluation"},
    "simplejpeg": {"files"},
    "distributed": {"parallel"},
    "threadpoolctl": {"parallel"},
    "safetensors": {"weights"},
    "torchvision": {"detectors"},
    "onnxruntime": {"onnx"},
    "av": {"video"},
}


def module_of(path: Path) -> str:
    """Return the first name below dmnet_lib: the module, or the package it lies in."""
    return path.relative_to(LIBRARY).with_suffix("").parts[0]


def imported(source: str) -> Iterator[str]:
    """Yield every dotted name that source imports, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ladder_faults(module: str, source: str) -> list[str]:
    """Return what is wrong with a module's imports of its neighbours."""
    rungs = {name: rung for rung, names in enumerate(LADDER) for name in names}
    if module not in rungs:
        return [f"{module} is not on the ladder"]
    faults = []
    for name in imported(source):
        other = name.split(".")[1] if name.startswith("dmnet_lib.") else module
        if other == module or (module in GROUND and other in GROUND[module]):
            continue
        if rungs.get(other, 99) >= rungs[module]:
            faults.append(f"{module} imports {other}, which is not below it")
    return faults


def home_faults(module: str, source: str) -> list[str]:
    """Return the packages that a module imports though their home is another."""
    packages = {name.split(".")[0] for name in imported(source)}
    return [f"{module} imports {p}" for p in packages & set(HOMES) if module not in HOMES[p]]


SOURCES = sorted(p for p in LIBRARY.rglob("*.py") if p != LIBRARY / "__init__.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_imports_go_down_the_ladder_and_packages_have_one_home(path: Path) -> None:
    source = path.read_text()
    assert ladder_faults(module_of(path), source) + home_faults(module_of(path), source) == []
    assert ast.get_docstring(ast.parse(source)), "a module opens with what flows in and out"


def test_every_rung_is_a_module() -> None:
    assert {n for names in LADDER for n in names} == {module_of(path) for path in SOURCES}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("regions", "from dmnet_lib import runner"),  # upward
        ("regions", "from dmnet_lib.windows import mask"),  # sideways
        ("regions", "def f():\n    import dmnet_lib.figures"),  # hidden in a function
        ("files", "from dmnet_lib import boxes"),  # upward within the ground
        ("helpers", ""),  # not on the ladder
    ],
)
def test_the_ladder_breaks_where_it_should(module: str, source: str) -> None:
    assert ladder_faults(module, source)


def test_a_package_away_from_its_home_is_found() -> None:
    assert home_faults("regions", "import matplotlib.pyplot as plt")


def test_regions_load_neither_torch_nor_matplotlib() -> None:
    heavy = "[m for m in ('torch', 'matplotlib') if m in sys.modules]"
    code = f"import sys, dmnet_lib.regions; print({heavy})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# Notebooks: no outputs, no logic, half prose, the parameters of base.yaml.


PROSE = 0.4  # least share of prose cells, without the opening ones
OPENING = ("imports", "parameters", "provenance")


def notebook_faults(notebook: dict) -> list[str]:
    """Return what a source notebook must not have."""
    cells = notebook["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    prose = [c for c in cells if c["cell_type"] == "markdown"]
    faults = [f"outputs in {c['id']}" for c in code if c["outputs"] or c["execution_count"]]
    if len(prose) < PROSE * (len(cells) - len(OPENING)):
        faults.append(f"{len(prose)} of {len(cells)} cells are prose; about half should be")
    if not prose or not prose[0]["source"] or not "".join(prose[0]["source"]).startswith("# "):
        faults.append("it does not open with a title")
    for cell in code:
        faults += _cell_faults("".join(cell["source"]), cell)
    last = "".join(code[-1]["source"]) if code else ""
    return faults + (
        [] if "write_metrics" in last + "".join(code[-2]["source"]) else ["no metrics"]
    )


def _cell_faults(source: str, cell: dict) -> list[str]:
    banned = (ast.FunctionDef, ast.ClassDef, ast.Try, ast.While, ast.If, ast.Lambda, ast.For)
    found = {type(n).__name__ for n in ast.walk(ast.parse(source)) if isinstance(n, banned)}
    faults = [f"{cell['id']}: {name}" for name in sorted(found)]
    unknown = set(cell["metadata"].get("tags", ())) - {"parameters", "remove-input", "remove-cell"}
    return faults + [f"{cell['id']}: tag {tag}" for tag in sorted(unknown)]


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_source_notebook_tells_and_does_not_compute(path: Path) -> None:
    assert notebook_faults(json.loads(path.read_text())) == []


def test_there_are_eight_notebooks_in_order() -> None:
    assert [p.stem[:2] for p in NOTEBOOKS] == [f"{n:02d}" for n in range(8)]


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    pass",
        "if mode:\n    x = 1",
        "try:\n    x\nexcept Exception:\n    pass",
        "for x in y:\n    x()",
    ],
)
def test_logic_in_a_notebook_is_found(source: str) -> None:
    notebook = json.loads(NOTEBOOKS[0].read_text())
    notebook["cells"][-1]["source"] = [source]
    assert notebook_faults(notebook)


def test_outputs_in_a_notebook_are_found() -> None:
    notebook = json.loads(NOTEBOOKS[0].read_text())
    notebook["cells"][-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["1"]}]
    assert notebook_faults(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_parameters_cell_holds_base_yamls_values(path: Path) -> None:
    tagged = [
        c
        for c in json.loads(path.read_text())["cells"]
        if "parameters" in c["metadata"].get("tags", ())
    ]
    known = params.of_stage(params.declared(), path.stem)
    lines = "".join(tagged[0]["source"]).splitlines()
    for line in lines:
        name, kind, value, comment = re.fullmatch(r"(\w+): (\w+) = (.*?)  # (.*)", line).groups()
        parameter = known[name]
        assert ast.literal_eval(value) == parameter.default, name
        assert kind == type(parameter.default).__name__
        assert comment == f"{parameter.allowed} {parameter.help}".strip()
    assert len(lines) == len(known)


# Dependencies, parameter files, words.


def dependency_faults(pyproject: dict, environment: dict) -> set[str]:
    """Return the requirements that only one of the two lists has."""
    project = pyproject["project"]
    ours = set(project["dependencies"]) | set(project["optional-dependencies"]["dev"])
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    return ours ^ {name for name in pip if not name.startswith("--")}


def test_pyproject_and_environment_name_the_same_packages() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert dependency_faults(pyproject, environment) == set()
    pyproject["project"]["dependencies"].append("another")
    assert dependency_faults(pyproject, environment) == {"another"}


def test_every_requirement_has_a_tested_version() -> None:
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().split()
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    assert {re.split(r"[<>=]", name)[0].lower() for name in wanted} <= pinned


def test_every_imported_package_is_required() -> None:
    aliases = {"PIL": "pillow", "yaml": "pyyaml", "faster_coco_eval": "faster-coco-eval"}
    aliases |= {"nbclient": "papermill", "nbformat": "papermill", "traitlets": "ipykernel"}
    aliases |= {"jupyter_client": "ipykernel", "jupyter_core": "ipykernel", "pygments": "nbconvert"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + extras["cluster"] + extras["onnx"] + extras["video"]
    known = {re.split(r"[<>=]", name)[0].lower() for name in wanted}
    for path in SOURCES:
        for name in imported(path.read_text()):
            package = name.split(".")[0]
            if package not in sys.stdlib_module_names and package != "dmnet_lib":
                assert aliases.get(package, package).lower() in known, f"{path.name}: {package}"


@pytest.mark.parametrize("path", sorted((ROOT / "params").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_parameter_file_is_valid_and_asks_a_question(path: Path) -> None:
    experiment = params.load(path)
    assert path.stem == "base" or experiment.question.split(".")[0].split(":")[0].count(" ") > 3


def test_notebooks_and_base_yaml_declare_the_same_parameters() -> None:
    runner.check_names(runner.read_notebooks(ROOT / "notebooks"))


def test_classes_are_written_down_once() -> None:
    homes = [p.name for p in SOURCES if '"awning-tricycle",' in p.read_text()]
    assert homes == ["annotations.py"]
