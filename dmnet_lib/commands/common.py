"""What the commands share: the arguments for a split and a profile, and what is read by them."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from dmnet_lib import datasets, profiles

Item = TypeVar("Item")


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add ROOT, --split and --image-sizes, read by `load`."""
    parser.add_argument(
        "root", type=Path, metavar="ROOT",
        help=f"the folder that holds {datasets.LAYOUT}",
    )  # fmt: skip
    parser.add_argument("--split", required=True, help="train, val, test-dev …")
    add_image_sizes(parser)


def add_image_sizes(parser: argparse.ArgumentParser) -> None:
    """Add --image-sizes."""
    parser.add_argument(
        "--image-sizes", type=Path, nargs="+", default=[], metavar="FILE",
        help='json of {"stem": [width, height]}, where the images are not at hand',
    )  # fmt: skip


def add_profile(parser: argparse.ArgumentParser, *stages: str) -> None:
    """Add --profile and --set; the help tells the rules of the stages in which profiles differ."""
    parser.add_argument(
        "--profile", choices=profiles.PROFILES, default=profiles.PROFILES[0],
        help="corrected (default): what the method means; official: what the released scripts do",
    )  # fmt: skip
    parser.add_argument(
        "--set", dest="changes", action="append", default=[], metavar="RULE=VALUE",
        help="take one rule otherwise than the profile does; may be repeated",
    )  # fmt: skip
    rules = [one for one in profiles.DEVIATIONS if one.stage in stages]
    lines = [
        f"  {one.name}: {' | '.join(map(str, one.choices))}\n"
        f"      official: {one.released}\n      corrected: {one.right}"
        for one in rules
    ]
    told = "rules, the corrected value first:\n" + "\n".join(lines)
    parser.epilog = f"{parser.epilog}\n\n{told}" if parser.epilog else told


def profile_of(chosen: argparse.Namespace) -> profiles.Profile:
    """Return the profile that --profile and --set ask for. Raises InputError."""
    return profiles.named(chosen.profile, chosen.changes)


def sizes_from(paths: Sequence[Path]) -> dict[str, tuple[int, int]] | None:
    """Return (width, height) by stem from --image-sizes files; None where none is given."""
    if not paths:
        return None
    sizes: dict[str, tuple[int, int]] = {}
    for path in paths:
        sizes |= datasets.read_image_sizes(path)
    return sizes


def load(chosen: argparse.Namespace) -> datasets.Source:
    """Return the annotations of ROOT's split, with the paths of its images where there are any."""
    return datasets.load_source(chosen.root, chosen.split, sizes=sizes_from(chosen.image_sizes))


def pair(text: str) -> tuple[int, int]:
    """Return (width, height) of "70x70"."""
    parts = text.lower().replace("_", "x").split("x")
    if len(parts) != 2 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, such as 70x70")
    return int(parts[0]), int(parts[1])


def progress(items: Iterable[Item], label: str, total: int | None = None) -> Iterable[Item]:
    """Show a bar on standard error while items pass, in a terminal only."""
    return tqdm(items, desc=label, total=total, disable=None, leave=False)
