"""What an explorer's controls changed -> a parameter file that `dmnet run` accepts."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from dmnet_lib.core import files, params, result_folder
from dmnet_lib.core.files import ROOT, InputError
from dmnet_lib.core.provenance import Stage
from dmnet_lib.core.result_folder import ResultFolder

FOLDER = Path(os.environ.get("DMNET_PARAMS_ROOT") or ROOT / "params")  # where files are saved
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
Changes = Mapping[str, Mapping[str, params.Value]]  # values by section and name


def save(name: str, changes: Changes, stage: Stage, *, replace: bool = False) -> Path:
    """Write params/<name>.yaml: the experiment of a stage, with changes; return its path.

    It holds only what differs from base.yaml. Raises InputError for a bad name and for no change.
    """
    path = FOLDER / f"{name}.yaml"
    if not NAME.fullmatch(name) or path.name == params.BASE.name:
        raise InputError(f"{name!r} is no name: use up to 64 letters, digits, _ and -, not `base`")
    if (path.exists() or path.is_symlink()) and not replace:
        raise InputError(f"{params.shown(path)} is there already: tick replace, or choose another")
    values: dict[str, dict[str, params.Value]] = {}
    for part in (_of_experiment(stage), _of_notebook(stage), changes):  # the later ones win
        for section, own in part.items():
            values[section] = values.get(section, {}) | dict(own)
    told = [f"{name} {params.words_of(v)}" for own in changes.values() for name, v in own.items()]
    question = f"What does it change to take {' and '.join(told) or 'these values'}?"
    values = params.without_idle(values, params.declared())  # only what is in force
    found = params.load(path, text=params.text_of(question, values))
    if not found.changed:
        raise InputError("nothing differs from params/base.yaml yet: move a control first")
    return files.write_text(path, params.text_of(question, found.changed))


def value_of(stage: Stage, section: str, name: str) -> params.Value:
    """Return the value of another stage's parameter in the experiment that is being looked at."""
    default = params.declared()[section][name].default
    return _of_experiment(stage).get(section, {}).get(name, default)


def _of_experiment(stage: Stage) -> Changes:
    return ResultFolder.read(result_folder.results_root() / stage.experiment).changed


def _of_notebook(stage: Stage) -> Changes:
    common = params.declared()[params.COMMON]
    return {
        params.COMMON: {n: v for n, v in stage.params.items() if n in common},
        stage.name: {n: v for n, v in stage.params.items() if n not in common},
    }
