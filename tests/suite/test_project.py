"""The house rules, each with the case that must break it: rooms, notebooks, dependencies."""

import ast
import graphlib
import json
import re
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import build
import papermill
import pytest
import yaml
from packaging.utils import canonicalize_name

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
    "safetensors": "core",
    "torchvision": "detection",
    "onnxruntime": "detection",
    "av": "data",
    "msgspec": "data",
    "pyogrio": "data",
    "rasterio": "data",
    "supervision": "detection",
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
        # What is imported from a package is its module, or else the package itself.
        names = [n if n in sources else n.rpartition(".")[0] for n in imported(source)]
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
    assert home_faults("dmnet_lib.cropping.regions", "import matplotlib.pyplot as plt")


# What others wrote is read by core.files, core.foreign and core.images, which bound it.

RAW = re.compile(  # calls that open a file themselves
    r"(.+\.)?open|.+\.(read_text|read_bytes|fromfile|imread|memmap)|(pd|np)\.(load|read|gen)\w*"
    r"|yaml\.\w*(load|compose)\w*|zipfile\.ZipFile|ElementTree\.(parse|fromstring)"
    r"|(safetensors\.)?torch\.load|.+\.InferenceSession"
)
BOUNDED = re.compile(r"(files\.(read_text|read_bytes)|(onnx\.)?(Network|Onnx)\.open)")
OPEN = {  # module: the calls that it may make, and why
    "core.files": "Path(module_file).with_suffix('.toml').read_text, open, os.open",  # own
    "core.foreign": "yaml.load, zipfile.ZipFile, ElementTree.fromstring, archive.open",
    "core.images": "Image.open",
    "core.made": "self.mark.open",  # to append
    "core.params": "yaml.compose",  # of base.yaml, which is own
    "core.numerics": "known.read_text, driver.read_text",  # of the system
    "core.provenance": "_module_path(name).read_text, path.read_text, values.read_text",  # own code
    "core.weights": "safetensors.torch.load",  # of bytes that are read
    "data.formats.visdrone": "zipfile.ZipFile, np.loadtxt",  # to write; of text that is read
    "data.journal": "self._lines.open",  # what `dmnet predict` wrote beside its output
    "data.raster": "rasterio.open",  # after _require_local
    "data.scenes.__init__": "path.read_bytes",  # own code
    "data.video": "av.open",  # after files.require_regular, or to write
    "detection.onnx.network": "onnxruntime.InferenceSession",  # of a regular file
    "evaluation.experiments": "pd.read_csv",  # of finished runs
    "evaluation.published": "pd.read_csv",  # own
    "reporting.figures": "Image.open, (place / f'{name}.csv').read_text, "
                         "picture.read_bytes",  # own figures
    "reporting.pages.notebooks": "template.read_text",  # own
    "reporting.pages.render": "path.read_text",  # own
    "running.cli": "os.open",  # of the null device
    "running.commands.common": "Path(__file__).with_name('help.toml').read_text",  # own
    "running.commands.doctor": "OWN_CGROUPS.read_text, path.read_text",  # of the system
    "running.runner": "owner.read_text",  # own
    "training.loop": "torch.load",  # own checkpoint, and no pickle
}  # fmt: skip


def opening(source: str) -> set[str]:
    """Return the calls by which source opens files without a bound."""
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    texts = {ast.unparse(one) for one in calls}
    return {one for one in texts if RAW.fullmatch(one) and not BOUNDED.fullmatch(one)}


def test_files_of_others_are_opened_in_core_alone() -> None:
    for path in SOURCES:
        name = ".".join(path.relative_to(LIBRARY).with_suffix("").parts)
        allowed = {call for call in OPEN.get(name, "").split(", ") if call}
        assert opening(path.read_text()) == allowed, f"{name}: use core.files, foreign or images"
    for line in ("Image.open(p)", "p.read_text()", "yaml.safe_load(t)", "np.load(p)", "open(p)"):
        assert opening(line)
    assert not opening("files.read_text(p)")


# Notebooks: no outputs, no definitions, nothing hidden in an expression.


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RECIPES = sorted((ROOT / "notebooks" / "recipes").glob("*.ipynb"))
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try, ast.While, ast.Lambda)
ADDING = ("append", "extend", "update", "insert", "pop")  # to a list or table, in place
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def notebook_faults(notebook: dict, *, is_recipe: bool = False) -> list[str]:
    """Return what a source notebook must not hold; a recipe may define a class."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    faults = [f"outputs in {c['id']}" for c in cells if c["outputs"] or c["execution_count"]]
    foreign = [cell for cell in cells if "".join(cell["source"]).startswith("%%")]
    trees = {c["id"]: ast.parse("".join(c["source"])) for c in cells if c not in foreign}
    parameters = {c["id"] for c in cells if build.is_parameters(c)}
    if len(parameters) != 1:
        faults.append("not one cell of parameters")
    protected = {name for own in parameters for name in assigned(trees[own])}
    whole = ast.Module([statement for tree in trees.values() for statement in tree.body], [])
    read = {
        n.id for n in ast.walk(whole) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    }
    faults += binding_faults({c: tree for c, tree in trees.items() if c not in parameters})
    for name, tree in trees.items():
        body = [one for one in tree.body if not (is_recipe and isinstance(one, ast.ClassDef))]
        faults += [f"{name}: {fault}" for fault in logic_faults(ast.Module(body, []), read)]
        if name not in parameters:
            taken = protected & assigned(tree)
            faults += [f"{name}: assigns the parameter {one}" for one in sorted(taken)]
    return faults


def binding_faults(trees: Mapping[str, ast.Module]) -> list[str]:
    """Return what keeps the cells of trees, by their ids, from being run again and in any order:
    a name bound in two of them (but in loops alone, or where an `if` decides which cell binds it),
    and a list or table that one makes and another adds to."""
    bound, faults = {name: bound_once(tree) for name, tree in trees.items()}, []
    for name, tree in trees.items():
        others = {one for other, names in bound.items() if other != name for one in names}
        twice = (bound[name] | {n.id for n in targets(tree, ast.For)}) & others
        faults += [f"{name}: binds {one}, as another cell does" for one in sorted(twice)]
        added = {n.func.value.id for n in ast.walk(tree) if _adds(n)} - bound[name]
        faults += [f"{name}: adds to another cell's {one}" for one in sorted(added & others)]
    return faults


def bound_once(tree: ast.Module) -> set[str]:
    """Return the names that code binds, but in loops, in classes and where an `if` decides."""
    own = [n for n in tree.body if isinstance(n, ast.If | ast.ClassDef)]
    decided = [one for n in own for one in ast.walk(n)]
    skipped = {
        id(n) for n in (*targets(tree, ast.For), *targets(tree, ast.comprehension), *decided)
    }
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in skipped]
    return {n.id for n in names if isinstance(n.ctx, ast.Store)}


def targets(tree: ast.AST, kind: type[ast.AST]) -> list[ast.Name]:
    """Return the names that the loops or comprehensions of code count."""
    parts = [part for n in ast.walk(tree) if isinstance(n, kind) for part in ast.walk(n.target)]
    return [part for part in parts if isinstance(part, ast.Name)]


def _adds(node: ast.AST) -> bool:
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return is_call and isinstance(node.func.value, ast.Name) and node.func.attr in ADDING


def logic_faults(tree: ast.AST, read: Collection[str]) -> list[str]:
    """Return what a cell must not hold; read are the names that the notebook reads anywhere."""
    faults = []
    for node in ast.walk(tree):
        if isinstance(node, DEFINITIONS):
            faults.append(type(node).__name__)
        elif isinstance(node, ast.Expr | ast.Assign) and isinstance(node.value, COMPREHENSIONS):
            targets = getattr(node, "targets", ())
            if not any(n.id in read for t in targets for n in ast.walk(t) if hasattr(n, "id")):
                faults.append("a comprehension that nobody reads; write a for loop")
    return faults


def _last_code(notebook: dict) -> dict:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"][-1]


def assigned(tree: ast.AST) -> set[str]:
    """Return the names that code assigns, but for those inside of comprehensions."""
    inner = [
        part for n in ast.walk(tree) if isinstance(n, ast.comprehension) for part in [n.target]
    ]
    hidden = {id(n) for target in inner for n in ast.walk(target)}
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in hidden]
    return {n.id for n in names if isinstance(n.ctx, ast.Store)}


@pytest.mark.parametrize("path", [*NOTEBOOKS, *RECIPES], ids=lambda p: p.stem)
def test_a_source_notebook_tells_and_does_not_define(path: Path) -> None:
    assert notebook_faults(json.loads(path.read_text()), is_recipe=path in RECIPES) == []


def test_there_are_eight_notebooks_and_the_last_builds_on_all_others() -> None:
    """Parameters, truth and detections of its own experiment lie beside those of the others."""
    assert [p.stem[:2] for p in NOTEBOOKS] == [f"{n:02d}" for n in range(8)]
    about = json.loads(NOTEBOOKS[-1].read_text())["metadata"]["dmnet"]
    assert about["needs"] == [path.stem for path in NOTEBOOKS[:-1]]


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("def f():\n    pass", "FunctionDef"),
        ("class A:\n    pass", "ClassDef"),
        ("try:\n    x\nexcept Exception:\n    pass", "Try"),
        ("while mode:\n    x = 1", "While"),
        ("f = lambda x: x", "Lambda"),
        ("[print(x) for x in y]", "comprehension"),
        ("unread = [print(x) for x in y]", "comprehension"),
        ("classes = 1", "assigns the parameter classes"),
        ("for classes in y:\n    print(classes)", "assigns the parameter classes"),
        ("if mode:\n    for x in y:\n        print(x)\nz = [classes for classes in y]\nz", ""),
    ],
)
def test_a_fault_of_a_notebook_is_found(source: str, fault: str) -> None:
    notebook = json.loads(NOTEBOOKS[0].read_text())
    _last_code(notebook)["source"] = [source]
    found = notebook_faults(notebook)
    assert len(found) == bool(fault) and fault in "".join(found)


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        (["x = 1", "y = x"], ""),
        (["x = 1", "x += 1"], "binds x"),
        (["x = 1", "for x in y:\n    print(x)"], "binds x"),
        (["x = 1", "z = [x for x in y]"], ""),
        (["for x in y:\n    print(x)", "for x in z:\n    print(x)"], ""),
        (["if a:\n    x = 1", "if not a:\n    x = 2"], ""),
        (["x = []", "x.append(1)"], "adds to another cell's x"),
        (["x = []\nx.append(1)", "y = x"], ""),
    ],
    ids=str,
)
def test_cells_that_cannot_be_run_again_are_found(cells: list[str], fault: str) -> None:
    found = binding_faults({f"cell {n}": ast.parse(cell) for n, cell in enumerate(cells)})
    assert bool(found) == bool(fault) and fault in "".join(found)


def test_outputs_and_a_second_cell_of_parameters_are_found() -> None:
    notebook = json.loads(NOTEBOOKS[0].read_text())
    last = _last_code(notebook)
    last["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["1"]}]
    last["source"], last["metadata"]["tags"] = ["x = 1"], ["parameters"]
    assert len(notebook_faults(notebook)) == 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_parameters_cell_is_as_make_notebooks_writes_it(path: Path) -> None:
    assert path.read_text() == build.built(path)
    cell = build.parameters_cell(json.loads(path.read_text()), path.stem)
    named = {node.target.id for node in ast.parse(cell).body}
    assert {*papermill.inspect_notebook(str(path))} == named, "papermill reads each line"


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


def test_every_imported_package_is_required_and_every_requirement_has_a_tested_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    pinned = {
        name.split("==")[0].lower() for name in (ROOT / "constraints.txt").read_text().split()
    }
    assert {bare(name) for name in project["dependencies"] + extras["dev"]} <= pinned
    aliases = {"PIL": "pillow", "yaml": "pyyaml", "faster_coco_eval": "faster-coco-eval"}
    aliases |= {
        "nbclient": "papermill",
        "click": "papermill",
        "nbformat": "papermill",
        "traitlets": "ipykernel",
    }
    aliases |= {"jupyter_client": "ipykernel", "jupyter_core": "ipykernel", "pygments": "nbconvert"}
    aliases |= {
        "IPython": "ipykernel",
        "bs4": "nbconvert",
        "markupsafe": "jinja2",
        "psutil": "ipykernel",
    }
    own = (extras[name] for name in ("cluster", "onnx", "raster", "supervision", "video"))
    wanted = sum(own, project["dependencies"])
    known = {bare(name) for name in wanted} | {*sys.stdlib_module_names, "dmnet_lib"}
    for path in SOURCES:
        packages = {name.split(".")[0] for name in imported(path.read_text())}
        assert {aliases.get(name, name) for name in packages} <= known, path.name


def hash_faults(hashes: str, constraints: str) -> set[str]:
    """Return the requirements of two files that are not in both, or that have no hash."""
    entry = re.compile(
        r"^([^=\s]+==[^;\s]+)[^\n\\]*((?:\\\n +--hash=sha256:[0-9a-f]{64} ?)+)$", re.M
    )
    hashed = {found[1] for found in entry.finditer(hashes)}
    stated = re.findall(r"^[^=\s#]+==[^;\s]+", hashes, re.M)
    tested = {canonicalize_name(name) + rest for name, rest in map(split, constraints.split())}
    return ({*stated} ^ tested) | ({*stated} - hashed)


def split(requirement: str) -> tuple[str, str]:
    """Return a package's name, and the version behind it."""
    name, equal, version = requirement.partition("==")
    return name, equal + version


def test_every_tested_version_has_hashes_and_no_other() -> None:
    hashes, constraints = ((ROOT / f"{n}.txt").read_text() for n in ("hashes", "constraints"))
    assert hash_faults(hashes, constraints) == set()
    assert hash_faults(hashes, constraints.replace("pip==", "pip==9")) != set()
    two = f"a==1 ; os_name == 'nt' \\\n    --hash=sha256:{'0' * 64}\nb==2\n"
    assert hash_faults(two, "a==1 B==2") == {"b==2"}


def bare(requirement: str) -> str:
    """Return a package's name without its version."""
    return re.split(r"[<>=]", requirement)[0].lower()


@pytest.mark.parametrize("path", sorted((ROOT / "params").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_parameter_file_is_valid_and_asks_a_question(path: Path) -> None:
    experiment = params.load(path)
    assert path.stem == "base" or experiment.question.split(".")[0].split(":")[0].count(" ") > 3


def test_notebooks_and_base_yaml_declare_the_same_parameters() -> None:
    stages.check_names(stages.read_notebooks(ROOT / "notebooks"))


def test_classes_are_written_down_once() -> None:
    homes = [p.name for p in SOURCES if '"awning-tricycle",' in p.read_text()]
    assert homes == ["visdrone.py"]
