"""A data set of any kind -> what is wrong with it: errors, oddities and counts of each split."""

from dataclasses import asdict, dataclass
from pathlib import Path

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError
from dmnet_lib.data import check
from dmnet_lib.running.commands.common import KindOptions, OutOptions, Say, WorkerOptions, option


@dataclass(frozen=True)
class Options(KindOptions):
    """The splits to check: the data that hold them, and their names, none for all."""

    what: str = option("check", flag="", choices=["check"], metavar="check")
    root: Path = option("the folder of the splits, or of one, or a COCO json", "", metavar="ROOT")
    names: tuple[str, ...] = option("may be repeated", "--split", action="append", default=[])
    out: Path | None = option("json to write all of it to, with every name")
    replaced: OutOptions
    workers: WorkerOptions


def run(options: Options, say: Say) -> None:
    made = options.out and options.replaced.made(options.out, "data")
    given = {"kind": options.kind, "layout": options.layout, "sizes": options.sizes.read()}
    with options.workers.lend() as executor:
        found = check.check_splits(options.root, options.names, executor=executor, **given)
    if options.out:
        with made.writing():
            files.write_json(options.out, asdict(found))
    say.result(asdict(found))
    for line in found.lines():
        say(line)
    if found.errors:
        raise InputError(f"{options.root}: {len(found.errors)} errors, listed above")
