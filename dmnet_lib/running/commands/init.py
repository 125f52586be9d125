"""A folder -> a project of one's own: the notebooks and parameter files, to be changed at will."""

from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core import files, project
from dmnet_lib.core.made import Made
from dmnet_lib.running.commands.common import OutOptions, Say, option


@dataclass(frozen=True)
class Options:
    """Where the project is to lie."""

    folder: Path = option("made if it is not there", flag="", metavar="FOLDER")
    replaced: OutOptions


def run(options: Options, say: Say) -> None:
    folder, shipped = options.folder, project.shipped()
    there = [name for name in shipped if (folder / name).exists()]
    read = files.read_bytes
    same = {name for name in there if read(folder / name) == read(shipped[name])}
    new = [name.as_posix() for name in shipped if name not in same]
    options.replaced.made(folder, "init", new)
    with Made.at(folder, "init", [name.as_posix() for name in shipped], overwrite=True).writing():
        for name in new:
            files.write_bytes(folder / name, read(shipped[Path(name)]))
    say(f"{folder}  {len(shipped) - len(same)} files written, {len(same)} there already")
    say(f"next: dmnet run {folder / 'params' / 'tiny.yaml'}, or jupyter lab {folder / 'notebooks'}")
