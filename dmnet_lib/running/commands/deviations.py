"""Annotations of splits -> what each rule of the released scripts changes, as text and as json."""

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from dmnet_lib.core import annotations, files, official, parallel
from dmnet_lib.data import splits
from dmnet_lib.running.commands import common

ABOUT = """\
Measure what each rule of the released scripts changes: the pipeline runs with the corrected rules,
and again with one rule taken as released. Window 70x70, threshold 0.08, sigma 15; needs annotations
only. Fusion and evaluation are measured on synthetic detections made from them.

--out writes a json; of results/deviations.json `make docs` makes docs/official.md."""
EXAMPLES = """\
examples:
  dmnet deviations data/VisDrone --split val
  dmnet deviations data/VisDrone --split train val --out results/deviations.json"""


@dataclass(frozen=True)
class Options:
    """The splits to measure on, taken as one, and the json to write, if any."""

    root: Path
    split: tuple[str, ...]
    image_sizes: tuple[Path, ...]
    out: Path | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    common.add_root(parser)
    parser.add_argument(
        "--split", nargs="+", required=True,
        help="one or more, taken as one; with train among them, rows with score 0 count as there",
    )  # fmt: skip
    common.add_image_sizes(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="json to write")


options = partial(common.options_of, Options)


def run(options: Options, say: Callable[[str], None]) -> int:
    """Run the command; return its exit status."""
    from dmnet_lib.evaluation import deviations  # it loads torch

    sizes = common.sizes_from(options.image_sizes)
    parts = [splits.load_source(options.root, split, sizes=sizes) for split in options.split]
    table = annotations.join([part.annotations for part in parts])
    split = "train" if "train" in options.split else options.split[0]
    found = deviations.effects(
        table, split, progress=lambda rules: parallel.progress(rules, "rules")
    )
    for rule in official.DEVIATIONS:
        say(f"{rule.name}={rule.other_value}: {found[rule.name]}")
    if options.out:
        value = {
            "effects": found, "images": len(table), "objects": int(table.is_object.sum()),
            "splits": options.split, "settings": asdict(deviations.DEFAULTS),
        }  # fmt: skip
        say(f"{files.write_json(options.out, value)}: {len(found)} rules")
    return 0
