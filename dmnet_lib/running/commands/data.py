"""A folder of splits -> what is wrong with it: errors, oddities and counts of each split."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core.files import InputError
from dmnet_lib.data import check
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import Say, SizeOptions, WorkerOptions, option

ABOUT = "Validate a dataset."
EXAMPLES = "example: dmnet data check data/VisDrone"
CHECK = """\
Check every annotation line and, where there are images, each one's header and end. Nothing is
decoded and nothing written. Shown are the counts of each split; then notes, oddities that real data
has, such as boxes that cross the border; then errors, the first twenty of them. ROOT may also be
the folder of one split. Without images give their sizes; without either, lines alone are checked.

An evaluated box is of one of the ten classes and has score 1; an image without any is empty."""
CHECK_EXAMPLES = """\
examples:
  dmnet data check data/VisDrone
  dmnet data check data/VisDrone --split val --image-sizes sizes_val.json"""


@dataclass(frozen=True)
class Options:
    """The splits to check: the folder that holds them, and their names, none for all."""

    root: Path = option(type=Path, metavar="ROOT", help="the folder that holds the splits")
    names: tuple[str, ...] = option(
        "--split", action="append", default=[], help="only this one; may be repeated"
    )
    sizes: SizeOptions
    workers: WorkerOptions


def add_arguments(parser: argparse.ArgumentParser, kind: type[Options]) -> None:
    """Add `check` with its arguments."""
    check = parser.add_subparsers(required=True, metavar="check").add_parser(
        "check", help="validate a folder in VisDrone's layout",
        description=CHECK, epilog=CHECK_EXAMPLES, formatter_class=parser.formatter_class,
    )  # fmt: skip
    common.add_arguments(check, kind)


def run(options: Options, say: Say) -> int:
    """Run the command; return its exit status."""
    sizes = options.sizes.read()
    with options.workers.lend() as executor:
        found = check.check_splits(options.root, options.names, sizes=sizes, executor=executor)
    for line in found.lines():
        say(line)
    if found.errors:
        raise InputError(f"{options.root}: {len(found.errors)} errors, listed above")
    return 0
