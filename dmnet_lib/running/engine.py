"""What papermill takes of this package: an engine that writes seldom, and sections of files.

papermill loads it by its entry point, whoever started it. A parameter file has sections called as
notebooks are, such as `03_density_crops`, which is no name in Python; so that
`papermill NOTEBOOK OUT -f params/narrow.yaml` works, they are assigned in another way.
`core.runs` reads them.
"""

import re
from pathlib import Path
from unittest import mock

import click
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.translators import PythonTranslator, papermill_translators

NAME, WRITE_EVERY_S = "dmnet", 5.0
STAGE = re.compile(r"[0-9]{2}_\w+")  # what notebooks, and sections of parameter files, are called


class Translator(PythonTranslator):
    """papermill's, which also assigns what is no name in Python."""

    @classmethod
    def assign(cls, name: str, str_val: str) -> str:
        """Return the line that assigns a value, as Python source, to a name or section."""
        is_name = name.isidentifier()
        return super().assign(name if is_name else f"globals()[{name!r}]", str_val)

    @classmethod
    def codify(cls, parameters: dict, comment: str = "Parameters") -> str:
        """Return the injected cell. A run is called like its parameter file, unless it is named."""
        named = _run_of_file() if dict in map(type, parameters.values()) else {}
        return super().codify(named | parameters, comment)


def _run_of_file() -> dict[str, str]:
    """Return the name of the file that papermill's command was given for one of our notebooks."""
    command = click.get_current_context(silent=True)
    given = command.params if command else {}
    paths = given.get("parameters_file") or ()
    is_ours = STAGE.fullmatch(Path(given.get("notebook_path") or "").stem)
    return {"experiment": Path(paths[-1]).stem} if paths and is_ours else {}


class Engine(NBClientEngine):
    """papermill's, which would check and write the notebook before and after every cell."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, *args: object, **kwargs: object
    ) -> object:
        """Execute it, written every few seconds; papermill writes it once more at the end."""
        write = nb_man.save

        def save(**_: object) -> None:
            if (nb_man.now() - nb_man.last_save_time).total_seconds() > WRITE_EVERY_S:
                write()

        with mock.patch.object(nb_man, "save", save):
            return super().execute_managed_notebook(nb_man, *args, **kwargs)


papermill_engines.register(NAME, Engine)
papermill_translators.register("python", Translator)
