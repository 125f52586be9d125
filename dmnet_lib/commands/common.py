"""What the commands share: the arguments for a split and a profile, and what is read by them."""

import argparse
import math
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from dmnet_lib import datasets, points, profiles
from dmnet_lib.annotations import Annotations
from dmnet_lib.files import InputError

Item = TypeVar("Item")


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add ROOT."""
    parser.add_argument(
        "root", type=Path, metavar="ROOT",
        help=f"the folder that holds {datasets.LAYOUT}",
    )  # fmt: skip


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add ROOT, --split and --image-sizes, read by `load`."""
    add_root(parser)
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
    parser.set_defaults(stages=stages)
    rules = [one for one in profiles.DEVIATIONS if one.stage in stages]
    lines = [
        f"  {one.name}: {' | '.join(map(str, one.choices))}\n"
        + _indented(f"official: {one.released}")
        + _indented(f"corrected: {one.right}")
        for one in rules
    ]
    told = "rules for --set, the corrected value first:\n" + "".join(lines)
    parser.epilog = f"{parser.epilog}\n\n{told}" if parser.epilog else told


def _indented(text: str) -> str:
    return textwrap.fill(text, 88, initial_indent=" " * 6, subsequent_indent=" " * 8) + "\n"


def profile_of(chosen: argparse.Namespace) -> profiles.Profile:
    """Return the profile that --profile and --set ask for. Raises InputError.

    A rule of other commands is refused: it would change nothing here.
    """
    rules = profiles.named(chosen.profile, chosen.changes)
    for change in chosen.changes:
        name = change.partition("=")[0].strip()
        if profiles.BY_NAME[name].stage not in chosen.stages:
            raise InputError(f"--set {name}: a rule of another command; see --help for those here")
    return rules


def sizes_from(paths: Sequence[Path]) -> dict[str, tuple[int, int]] | None:
    """Return (width, height) by stem from --image-sizes files; None where none is given."""
    if not paths:
        return None
    sizes: dict[str, tuple[int, int]] = {}
    for path in paths:
        sizes |= datasets.read_image_sizes(path)
    return sizes


def load(chosen: argparse.Namespace, *, annotated: bool = True) -> datasets.Source:
    """Return the annotations of ROOT's split, with the paths of its images where there are any.

    annotated False also takes a split without an annotations folder, as one without boxes.
    """
    return datasets.load_source(
        chosen.root, chosen.split, sizes=sizes_from(chosen.image_sizes), annotated=annotated
    )


def add_kernels(parser: argparse.ArgumentParser) -> None:
    """Add what makes points of annotations, read by `points_of`."""
    parser.add_argument(
        "--sigma-rule", choices=("fixed", "class_wise", "adaptive"), default="fixed",
        help="fixed (default): --sigma for all; class_wise: mean scale of the class in train; "
        "adaptive: by the nearest neighbours",
    )  # fmt: skip
    parser.add_argument("--sigma", type=positive, default=15.0, metavar="PX", help="default 15")
    parser.add_argument(
        "--train-split", default="train", metavar="SPLIT",
        help="split of ROOT that class_wise is measured on (default train)",
    )  # fmt: skip
    parser.add_argument(
        "--neighbours", type=count, default=3, metavar="N", help="of adaptive (default 3)"
    )
    parser.add_argument(
        "--beta", type=positive, default=0.3, metavar="B",
        help="adaptive sigma over the mean distance to the neighbours (default 0.3)",
    )  # fmt: skip


def points_of(
    annotations: Annotations, chosen: argparse.Namespace, rules: profiles.Profile
) -> points.Points:
    """Return the points of a split, with the kernels and by the rules asked for."""
    found = points.from_annotations(
        annotations,
        drop_score0=drops_score0(chosen, rules),
        points_at=str(rules["points_at"]),
    )
    scales = {}
    if chosen.sigma_rule == "class_wise":
        scales = points.class_scales_px(datasets.load_boxes(chosen.root, chosen.train_split))
    return points.with_rule(
        found, chosen.sigma_rule, sigma_px=chosen.sigma, scales_px=scales,
        neighbours=chosen.neighbours, beta=chosen.beta, **rules.of("sigmas"),
    )  # fmt: skip


def drops_score0(chosen: argparse.Namespace, rules: profiles.Profile) -> bool:
    """Tell whether density and crops leave out rows with score 0 on the split at hand."""
    return profiles.drops_score0(str(rules["score0_dropped"]), chosen.split)


def parameters(chosen: argparse.Namespace, rules: profiles.Profile, *names: str) -> dict:
    """Return what a command's output was made with: arguments by name, and the profile."""
    given = {name: getattr(chosen, name) for name in names}
    return {"split": chosen.split, **given, "profile": rules.name, "rules": rules.values}


def positive(text: str) -> float:
    """Return a finite number greater than 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number greater than 0")
    return value


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 0 to 1")
    return value


def count(text: str, *, least: int = 1) -> int:
    """Return a whole number of at least `least`."""
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from {least} on")
    return int(text)


def pair(text: str) -> tuple[int, int]:
    """Return (width, height) of "70x70"."""
    parts = text.lower().replace("_", "x").split("x")
    if len(parts) != 2 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, such as 70x70")
    return int(parts[0]), int(parts[1])


def progress(items: Iterable[Item], label: str, total: int | None = None) -> Iterable[Item]:
    """Show a bar on standard error while items pass, in a terminal only."""
    return tqdm(items, desc=label, total=total, disable=None, leave=False)
