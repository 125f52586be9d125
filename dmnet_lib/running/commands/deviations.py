"""Annotations of splits -> what each rule of the official DMNet code changes, in text and json."""

from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core import annotations, files, official
from dmnet_lib.core.files import InputError
from dmnet_lib.data import datasets
from dmnet_lib.running.commands.common import OutOptions, Say, SizeOptions, option

EXAMPLES = """\
example: dmnet deviations data/VisDrone --split train val --out results/deviations.json
the rules: dmnet help profiles"""


@dataclass(frozen=True)
class Options:
    """The splits to measure on, taken as one, and the json to write, if any."""

    root: Path = option(f"the folder that holds {datasets.LAYOUT}", flag="", metavar="ROOT")
    splits: tuple[str, ...] = option(
        "taken as one; with train among them, rows with score 0 count", "--split", nargs="+"
    )
    sizes: SizeOptions
    out: Path | None = option("json to write")
    replaced: OutOptions


def run(options: Options, say: Say) -> None:
    from dmnet_lib.evaluation import deviations  # it loads torch

    made = options.out and options.replaced.made(options.out, "deviations")
    sizes = options.sizes.read()
    parts = [datasets.read(options.root, split=split, sizes=sizes) for split in options.splits]
    table = annotations.join([part.annotations for part in parts])
    if not table.is_object.any():
        raise InputError(f"{options.root}: no objects in {', '.join(options.splits)} to measure by")
    split = "train" if "train" in options.splits else options.splits[0]
    found = deviations.effects(table, split)
    say.result(found)
    for rule in official.DEVIATIONS:
        say(f"{rule.name}={rule.other_value}: {found[rule.name]}")
    if options.out:
        value = {
            "effects": found, "images": len(table), "objects": int(table.is_object.sum()),
            "splits": options.splits, "settings": deviations.SETTINGS,
        }  # fmt: skip
        with made.writing():
            files.write_json(options.out, value)
        say(f"{options.out}: {len(found)} rules")
