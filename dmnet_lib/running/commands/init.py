"""A folder -> a project of one's own: the notebooks and parameter files, to be changed at will."""

from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core import files, project
from dmnet_lib.core.files import InputError
from dmnet_lib.running.commands.common import Say, option


@dataclass(frozen=True)
class Options:
    """Where the project is to lie."""

    folder: Path = option("made if it is not there", flag="", metavar="FOLDER")


def run(options: Options, say: Say) -> None:
    folder, shipped = options.folder, project.shipped()
    there = [name for name in shipped if (folder / name).exists()]
    same = {name for name in there if (folder / name).read_bytes() == shipped[name].read_bytes()}
    if changed := [str(name) for name in there if name not in same]:
        told = f"{files.shortened(changed)}: there already, and different"
        raise InputError(f"{folder}: {told}; move them away or choose another folder")
    for name in shipped.keys() - same:
        files.write_bytes(folder / name, shipped[name].read_bytes())
    say(f"{folder}  {len(shipped) - len(same)} files written, {len(same)} there already")
    say(f"next: dmnet run {folder / 'params' / 'tiny.yaml'}, or jupyter lab {folder / 'notebooks'}")
