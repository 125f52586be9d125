"""A folder of splits -> what is wrong with it: errors, oddities and counts of each split."""

from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core.files import InputError
from dmnet_lib.data import check
from dmnet_lib.running.commands.common import Say, SizeOptions, WorkerOptions, option

ABOUT = """\
Check every annotation line and, where there are images, each one's header and end; nothing is
written. Shown are the counts of each split, oddities that real data has, such as boxes that cross
the border, and the first twenty errors. Without images and sizes, lines alone are checked. An
evaluated box is of a class and not ignored; an image without any is empty."""
EXAMPLES = "example: dmnet data check data/VisDrone --split val --image-sizes sizes_val.json"


@dataclass(frozen=True)
class Options:
    """The splits to check: the folder that holds them, and their names, none for all."""

    what: str = option("check", flag="", choices=["check"], metavar="check")
    root: Path = option("the folder of the splits, or of one", flag="", metavar="ROOT")
    names: tuple[str, ...] = option("may be repeated", "--split", action="append", default=[])
    sizes: SizeOptions
    workers: WorkerOptions


def run(options: Options, say: Say) -> None:
    """Run the command."""
    sizes = options.sizes.read()
    with options.workers.lend() as executor:
        found = check.check_splits(options.root, options.names, sizes=sizes, executor=executor)
    for line in found.lines():
        say(line)
    if found.errors:
        raise InputError(f"{options.root}: {len(found.errors)} errors, listed above")
