"""base.yaml and the notebooks in, the notebooks' parameters cells out: `make notebooks`.

A cell holds the run to open, the common parameters that its notebook uses, and those of the notebook's
own section.
"""

import ast
import json
from pathlib import Path

from dmnet_lib.core import files, params, runs

WIDTH = 100  # of a line; longer comments stand above it
FOLDER = Path(__file__).resolve().parent
MEANING = "run to open, a folder of results/; a new name begins one"
RUN = params.Parameter(runs.EXPERIMENT, "", runs.DEFAULT, "", MEANING)


def parameters_cell(notebook: dict, stage: str) -> str:
    """Return the source that a stage's parameters cell must have."""
    known, used = params.declared(), _names(notebook)
    used |= {"dataset"} if "data_root" in used else set()  # both say where the data lies
    used |= {"numerics"} if "device" in used else set()  # both say what networks compute with
    common = [one for name, one in known[params.COMMON].items() if name in used]
    return "\n".join(_line(parameter) for parameter in (RUN, *common, *known[stage].values()))


def _names(notebook: dict) -> set[str]:
    """Return the names in a notebook's code outside its parameters cell."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    trees = [ast.parse("".join(cell["source"])) for cell in cells if not is_parameters(cell)]
    return {n.id for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Name)}


def is_parameters(cell: dict) -> bool:
    """Tell whether a cell is the one that papermill puts values behind."""
    return "parameters" in cell["metadata"].get("tags", ())


def _line(parameter: params.Parameter) -> str:
    default, kind = parameter.default, type(parameter.default).__name__
    value = json.dumps(default, ensure_ascii=False) if kind in ("str", "list") else repr(default)
    # A form that papermill reads too: others it would call unknown parameters.
    kind = "float or str" if kind == "str" and parameter.is_number else kind
    comment = f"# {parameter.allowed} {parameter.help}".replace("  ", " ")
    line = f"{parameter.name}: {kind} = {value}  {comment}"
    return line if len(line) <= WIDTH else f"{comment}\n{line.partition('  # ')[0]}"


def built(path: Path) -> str:
    """Return a notebook's text with the parameters cell that it must have."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if is_parameters(cell):
            cell["source"] = parameters_cell(notebook, path.stem).splitlines(keepends=True)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for notebook_path in sorted(FOLDER.glob("[0-9][0-9]_*.ipynb")):
        files.write_text(notebook_path, built(notebook_path))
