"""What the commands share: the arguments for a split and a profile, and what is read by them."""

import argparse
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from dmnet_lib.core import files, official, parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.data import check, splits
from dmnet_lib.density import points

IMAGES_EACH = 16  # a worker must be worth its start, which takes as long as ten images


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add ROOT."""
    told = f"the folder that holds {splits.LAYOUT}"
    parser.add_argument("root", type=Path, metavar="ROOT", help=told)


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add ROOT, --split and --image-sizes, read by `load`."""
    add_root(parser)
    parser.add_argument("--split", required=True, help="train, val, test-dev …")
    add_image_sizes(parser)


def add_image_sizes(parser: argparse.ArgumentParser) -> None:
    """Add --image-sizes."""
    told = 'json of {"stem": [width, height]}, where the images are not at hand'
    parser.add_argument(
        "--image-sizes", type=Path, nargs="+", default=[], metavar="FILE", help=told
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add --jobs and --cluster, read by `workers`."""
    add = parser.add_argument
    add("--jobs", type=partial(count, least=0), default=0, metavar="N",
        help="processes at work (default 0: one for each core)")  # fmt: skip
    add("--cluster", metavar="ADDRESS",
        help="dask scheduler whose workers do it instead, such as tcp://host:8786; they must see "
        "the same folders by the same paths")  # fmt: skip


def workers(
    chosen: argparse.Namespace, *, tasks: int | None = None
) -> AbstractContextManager[Executor | None]:
    """Lend the workers that --jobs and --cluster ask for, for so many tasks (`parallel.pool`)."""
    if chosen.cluster is not None:
        return parallel.cluster(chosen.cluster)
    return parallel.pool(chosen.jobs, tasks=tasks)


def add_profile(parser: argparse.ArgumentParser, *rules: str) -> None:
    """Add --profile and --set; rules are those that matter, by their names or their stages'."""
    add = parser.add_argument
    add("--profile", choices=official.PROFILES, default=official.PROFILES[0],
        help="corrected (default): what the method means; official: what the released scripts "
        "do")  # fmt: skip
    add("--set", dest="changes", action="append", default=[], metavar="RULE=VALUE",
        help="take one rule otherwise than the profile does; may be repeated")  # fmt: skip
    known = [one for one in official.DEVIATIONS if one.name in rules or one.stage in rules]
    parser.set_defaults(rules=[one.name for one in known])
    parser.epilog += "\n\nrules for --set, the corrected value first:\n" + "".join(
        f"  {one.name}: {' | '.join(map(str, one.choices))}\n"
        + _indented(f"official: {one.released}")
        + _indented(f"corrected: {one.right}")
        for one in known
    )


def _indented(text: str) -> str:
    return textwrap.fill(text, 88, initial_indent=" " * 6, subsequent_indent=" " * 8) + "\n"


def profile_of(chosen: argparse.Namespace) -> official.Profile:
    """Return the profile that --profile and --set ask for. Raises InputError.

    A rule of other commands is refused: it would change nothing here.
    """
    rules = official.named(chosen.profile, chosen.changes)
    for change in chosen.changes:
        name = change.partition("=")[0].strip()
        if name not in chosen.rules:
            raise InputError(f"--set {name}: a rule of another command; see --help for those here")
    return rules


def sizes_from(paths: Sequence[Path]) -> dict[str, tuple[int, int]] | None:
    """Return (width, height) by stem from --image-sizes files; None where none is given."""
    found = [splits.read_image_sizes(path) for path in paths]
    return {stem: size for sizes in found for stem, size in sizes.items()} if found else None


def load(
    chosen: argparse.Namespace, say: Callable[[str], None], *, annotated: bool = True
) -> splits.Split:
    """Return the annotations of ROOT's split, with the paths of its images where there are any.

    annotated False also takes a split without an annotations folder, as one without boxes. What is
    odd about the split, yet no error, is said.
    """
    found = splits.load_source(
        chosen.root, chosen.split, sizes=sizes_from(chosen.image_sizes), annotated=annotated
    )
    for note in check.remarks(chosen.root, found):
        say(f"note: {note}")
    return found


def add_kernels(parser: argparse.ArgumentParser) -> None:
    """Add what makes points of annotations, read by `points_of`."""
    add = parser.add_argument
    add("--sigma-rule", choices=("fixed", "class_wise", "adaptive"), default="fixed",
        help="fixed (default): --sigma for all; class_wise: mean scale of the class in train; "
        "adaptive: by the nearest neighbours")  # fmt: skip
    add("--sigma", type=positive, default=15.0, metavar="PX", help="default 15")
    add("--train-split", default="train", metavar="SPLIT",
        help="split of ROOT that class_wise is measured on (default train)")  # fmt: skip
    add("--neighbours", type=count, default=3, metavar="N", help="of adaptive (default 3)")
    add("--beta", type=positive, default=0.3, metavar="B",
        help="adaptive sigma over the mean distance to the neighbours (default 0.3)")  # fmt: skip


def points_of(
    annotations: Annotations, chosen: argparse.Namespace, rules: official.Profile
) -> points.Points:
    """Return the points of a split, with the kernels and by the rules asked for."""
    drop = drops_score0(chosen, rules)
    found = points.from_annotations(annotations, drop_score0=drop, **rules.of("points"))
    scales = {}
    if chosen.sigma_rule == "class_wise":
        scales = points.class_scales_px(splits.load_boxes(chosen.root, chosen.train_split))
    return points.with_rule(
        found, chosen.sigma_rule, sigma_px=chosen.sigma, scales_px=scales,
        neighbours=chosen.neighbours, beta=chosen.beta, **rules.of("sigmas"),
    )  # fmt: skip


def drops_score0(chosen: argparse.Namespace, rules: official.Profile) -> bool:
    """Tell whether density and crops leave out rows with score 0 on the split at hand."""
    return official.drops_score0(str(rules["score0_dropped"]), chosen.split)


def parameters(chosen: argparse.Namespace, rules: official.Profile, *names: str) -> dict:
    """Return what a command's output was made with: arguments by name, and the profile."""
    given = {name: getattr(chosen, name) for name in names}
    return {"split": chosen.split, **given, "profile": rules.name, "rules": rules.values}


def refuse_others(listing: Path, made: Mapping[str, object], *others: Path) -> None:
    """Raise InputError where a folder holds what was made otherwise: both would be mixed.

    made is what its listing must tell then; where it has none, others must not be there.
    """
    if listing.is_file():
        before = files.read_json(listing)
        same = isinstance(before, dict) and all(before.get(k) == v for k, v in made.items())
    else:
        same = not any(path.exists() for path in others)
    if not same:
        raise InputError(
            f"{listing.parent}: holds what other inputs or parameters made; remove it or "
            "choose another --out"
        )


def _number(text: str, fits: Callable[[float], bool], words: str) -> float:
    """Return the number that text is; argparse's error where it is none that fits."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not fits(value):
        raise argparse.ArgumentTypeError(f"{text!r}: expected {words}")
    return value


def positive(text: str) -> float:
    """Return a finite number greater than 0."""
    return _number(text, lambda value: 0 < value < math.inf, "a number greater than 0")


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    return _number(text, lambda value: 0 <= value <= 1, "a number from 0 to 1")


def count(text: str, *, least: int = 1, most: int = 10**9) -> int:
    """Return a whole number of at least `least` and at most `most`."""
    if not text.isdecimal() or not least <= int(text[:12]) <= most:
        upto = "on" if most == 10**9 else f"to {most}"
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from {least} {upto}")
    return int(text)


def pair(text: str) -> tuple[int, int]:
    """Return (width, height) of "70x70"."""
    parts = text.lower().replace("_", "x").split("x")
    if len(parts) != 2 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise argparse.ArgumentTypeError(f"{text!r}: expected WIDTHxHEIGHT, such as 70x70")
    return int(parts[0]), int(parts[1])
