"""The house rules, each with the case that must break it: rooms, notebooks, dependencies."""

import ast
import graphlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import build
import pytest
import yaml

from dmnet_lib.core import params
from dmnet_lib.core.files import ROOT
from dmnet_lib.running import stages

LIBRARY = ROOT / "dmnet_lib"
ROOMS = (  # imports go down only: a room knows those before it
    "core", "data", "density", "cropping", "detection", "training", "evaluation", "reporting",
    "running",
)  # fmt: skip
HOMES = {
    "matplotlib": "reporting",
    "ipywidgets": "reporting",
    "papermill": "running",
    "nbconvert": "reporting",
    "pycocotools": "evaluation",
    "faster_coco_eval": "evaluation",
    "simplejpeg": "core",
    "distributed": "core",
    "threadpoolctl": "core",
    "safetensors": "core",
    "torchvision": "detection",
    "onnxruntime": "detection",
    "av": "data",
    "sahi": None,  # a recipe's alone
}


def dotted(path: Path) -> str:
    """Return a file's name as it is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(source: str) -> Iterator[str]:
    """Yield every dotted name that source imports, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_faults(module: str, source: str) -> list[str]:
    """Return what is wrong with the rooms that a module lies in and imports from."""
    room = module.split(".")[1]
    if room not in ROOMS:
        return [f"{module} lies in no room"]
    others = {name.split(".")[1] for name in imported(source) if name.startswith("dmnet_lib.")}
    above = others - set(ROOMS[: ROOMS.index(room) + 1])
    return [f"{module} imports from {other}, which is not below it" for other in sorted(above)]


def home_faults(module: str, source: str) -> list[str]:
    """Return the packages that a module imports though they belong to another room."""
    packages = {name.split(".")[0] for name in imported(source)}
    room = module.split(".")[1]
    return [f"{module} imports {p}" for p in sorted(packages & set(HOMES)) if HOMES[p] != room]


def circle(sources: Mapping[str, str]) -> list[str]:
    """Return modules that import one another in a circle; none if there are no such."""
    graph = {}
    for module, source in sources.items():
        names = [name for full in imported(source) for name in (full, full.rpartition(".")[0])]
        graph[module] = {name for name in names if name in sources and name != module}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


SOURCES = sorted(p for p in LIBRARY.rglob("*.py") if p != LIBRARY / "__init__.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_imports_go_down_the_rooms_and_packages_have_one_home(path: Path) -> None:
    source, module = path.read_text(), dotted(path)
    assert room_faults(module, source) + home_faults(module, source) == []
    assert ast.get_docstring(ast.parse(source)), "a module opens with what flows in and out"


def test_no_module_lies_flat_and_every_room_says_what_flows() -> None:
    assert [path.name for path in LIBRARY.glob("*.py")] == ["__init__.py"]
    for room in ROOMS:
        docstring = ast.get_docstring(ast.parse((LIBRARY / room / "__init__.py").read_text()))
        assert "In: " in docstring and "May know: " in docstring


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert circle({dotted(path): path.read_text() for path in SOURCES}) == []
    two = {"dmnet_lib.core.a": "from dmnet_lib.core import b"}
    assert circle(two | {"dmnet_lib.core.b": "from dmnet_lib.core.a import C"})


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cropping.regions", "from dmnet_lib.running import runner"),  # upward
        ("cropping.regions", "def f():\n    import dmnet_lib.reporting.figures"),  # in a function
        ("core.files", "from dmnet_lib.data.splits import Split"),
        ("helpers", ""),  # in no room
    ],
)
def test_the_rooms_break_where_they_should(module: str, source: str) -> None:
    assert room_faults(f"dmnet_lib.{module}", source)


def test_a_package_away_from_its_home_is_found() -> None:
    assert home_faults("dmnet_lib.cropping.regions", "import matplotlib.pyplot as plt")


def test_regions_load_neither_torch_nor_matplotlib() -> None:
    heavy = "[m for m in ('torch', 'matplotlib') if m in sys.modules]"
    code = f"import sys, dmnet_lib.cropping.regions; print({heavy})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# Notebooks: no outputs, no logic, half prose, the parameters of base.yaml.


PROSE = 0.4  # least share of prose cells, without the opening ones
OPENING = ("imports", "parameters", "provenance")


def notebook_faults(notebook: dict) -> list[str]:
    """Return what a source notebook must not have."""
    code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    last = "".join(code[-1]["source"]) if code else ""
    told = "write_metrics" in last + "".join(code[-2]["source"])
    return source_faults(notebook) + ([] if told else ["no metrics"])


def source_faults(notebook: dict, exempt: Collection[str] = ()) -> list[str]:
    """Return what neither notebooks nor recipes must have; exempt cells may hold any code."""
    cells = notebook["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    prose = [c for c in cells if c["cell_type"] == "markdown"]
    faults = [f"outputs in {c['id']}" for c in code if c["outputs"] or c["execution_count"]]
    if len(prose) < PROSE * (len(cells) - len(OPENING)):
        faults.append(f"{len(prose)} of {len(cells)} cells are prose; about half should be")
    if not prose or not prose[0]["source"] or not "".join(prose[0]["source"]).startswith("# "):
        faults.append("it does not open with a title")
    for cell in code:
        faults += [] if cell["id"] in exempt else _cell_faults("".join(cell["source"]), cell)
    return faults


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


def test_the_comparison_gets_every_stage_of_its_own_experiment() -> None:
    """Parameters, truth and detections of the others lie beside theirs."""
    about = json.loads(NOTEBOOKS[-1].read_text())["metadata"]["dmnet"]
    assert about["needs"] == [path.stem for path in NOTEBOOKS[:-1]]


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


# Recipes: as notebooks, but one teaches a class, and cells of a shell or of a file are no Python.

FOREIGN = ("%%bash -e", "%%writefile")  # with -e the first failure stops the recipe
RECIPES = sorted((ROOT / "notebooks" / "recipes").glob("*.ipynb"))


def recipe_faults(notebook: dict) -> list[str]:
    """Return what a recipe's source must not have."""
    code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    foreign = {c["id"]: c["source"][0] for c in code if c["source"][0].startswith("%%")}
    classes = {c["id"]: "".join(c["source"]) for c in code if c["source"][0].startswith("class ")}
    faults = source_faults(notebook, exempt=foreign.keys() | classes.keys())
    wrong = [name for name, first in foreign.items() if not first.startswith(FOREIGN)]
    faults += [f"{name}: a cell of another kind than {' or '.join(FOREIGN)}" for name in wrong]
    for name, source in classes.items():
        kinds = [type(node).__name__ for node in ast.parse(source).body]
        faults += [] if kinds == ["ClassDef"] else [f"{name}: more than a class"]
    if len(classes) > 1:
        faults.append(f"{len(classes)} classes; a recipe teaches one")
    if [c["metadata"].get("tags") for c in code].count(["parameters"]) != 1:
        faults.append("not one cell of parameters")
    return faults + ([] if "metrics.json" in "".join(code[-1]["source"]) else ["no metrics"])


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_a_recipe_tells_and_every_cell_has_its_name(path: Path) -> None:
    notebook = json.loads(path.read_text())
    assert recipe_faults(notebook) == []
    assert [c["id"] for c in notebook["cells"]] == [
        f"cell-{n:02d}" for n in range(len(notebook["cells"]))
    ]
    assert path.read_text() == json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    ("cell", "source"),
    [
        (-1, ["x = 1"]),  # no metrics
        (-1, ["for x in y:\n", "    files.write_json('metrics.json', x)"]),
        (4, ["class A:\n", "    pass\n", "def f():\n", "    pass"]),  # more than a class
        (4, ["%%bash\n", "false"]),  # goes on after an error
    ],
)
def test_faults_of_a_recipe_are_found(cell: int, source: list[str]) -> None:
    notebook = json.loads(RECIPES[0].read_text())
    code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    code[cell]["source"] = source
    assert recipe_faults(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_parameters_cell_is_as_make_notebooks_writes_it(path: Path) -> None:
    assert path.read_text() == build.built(path)


def test_a_parameters_cell_holds_the_common_parameters_that_the_notebook_uses() -> None:
    notebook = json.loads(NOTEBOOKS[6].read_text())
    assert "seed: int = 0  # [0, inf)" in build.parameters_cell(notebook, NOTEBOOKS[6].stem)
    cells = notebook["cells"]
    notebook["cells"] = [c for c in cells if "seed" not in "".join(c["source"])]
    assert "seed: int" not in build.parameters_cell(notebook, NOTEBOOKS[6].stem)


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
    aliases |= {"bs4": "nbconvert", "markupsafe": "jinja2"}
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
    stages.check_names(stages.read_notebooks(ROOT / "notebooks"))


def test_classes_are_written_down_once() -> None:
    homes = [p.name for p in SOURCES if '"awning-tricycle",' in p.read_text()]
    assert homes == ["annotations.py"]
