"""Arguments that several commands take -> values: a split, workers, kernels, a profile's rules."""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from dmnet_lib.core import files, official, parallel
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import Profile
from dmnet_lib.data import check, splits
from dmnet_lib.density import kernels, points
from dmnet_lib.density.kernels import SigmaRule

Say = Callable[[str], None]
Kind = TypeVar("Kind")  # of options
COUNT_FACTOR = 3  # a map with so many times its objects was most likely enlarged
IMAGES_EACH = 16  # a worker must be worth its start, which takes as long as ten images


@dataclass(frozen=True)
class SplitOptions:
    """One split: the folder that holds it, its name, and files of image sizes."""

    root: Path
    split: str
    image_sizes: tuple[Path, ...]

    def load(self, say: Say, *, annotated: bool = True) -> splits.Split:
        """Return the split's annotations, with the paths of its images where there are any.

        annotated False also takes a split without an annotations folder, as one without boxes.
        Oddities that are no errors are said.
        """
        sizes = sizes_from(self.image_sizes)
        found = splits.load_source(self.root, self.split, sizes=sizes, annotated=annotated)
        for note in check.remarks(self.root, found):
            say(f"note: {note}")
        return found


@dataclass(frozen=True)
class WorkerOptions:
    """Who does the work: this many processes of this machine (0: one per core), or a cluster."""

    jobs: int
    cluster: str | None  # the address of a dask scheduler

    def lend(self, *, tasks: int | None = None) -> AbstractContextManager[Executor | None]:
        """Lend the workers for so many tasks (`parallel.pool`)."""
        if self.cluster is not None:
            return parallel.cluster(self.cluster)
        return parallel.pool(self.jobs, tasks=tasks)


@dataclass(frozen=True)
class KernelOptions:
    """How wide an object's Gaussian is: the sigma rule and its values (`kernels.SigmaRule`)."""

    sigma_rule: str
    sigma: float  # px
    neighbours: int
    beta: float
    train_split: str

    def points_of(
        self, annotations: Annotations, source: SplitOptions, profile: Profile
    ) -> points.Points:
        """Return the points of a split's annotations, with their sigmas."""
        drop = drops_score0(profile, source.split)
        at = profile.points.points_at
        found = points.from_annotations(annotations, drop_score0=drop, points_at=at)
        scales = {}
        if self.sigma_rule == "class_wise":
            scales = kernels.class_scales_px(splits.load_boxes(source.root, self.train_split))
        rule = SigmaRule(
            self.sigma_rule, self.sigma, self.neighbours, self.beta, scales, profile.sigmas
        )
        return rule.apply(found)

    def parameters(self) -> dict[str, object]:
        """Return the values for a file of parameters; the train split stands in the sigmas."""
        values = asdict(self)
        del values["train_split"]
        return values


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add ROOT."""
    words = f"the folder that holds {splits.LAYOUT}"
    parser.add_argument("root", type=Path, metavar="ROOT", help=words)


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of SplitOptions."""
    add_root(parser)
    parser.add_argument("--split", required=True, help="train, val, test-dev …")
    add_image_sizes(parser)


def add_image_sizes(parser: argparse.ArgumentParser) -> None:
    """Add --image-sizes."""
    words = 'json of {"stem": [width, height]}, where images are missing'
    parser.add_argument(
        "--image-sizes", type=Path, nargs="+", default=[], metavar="FILE", help=words
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of WorkerOptions."""
    add = parser.add_argument
    add("--jobs", type=partial(count, least=0), default=0, metavar="N",
        help="processes at work (default 0: one per core)")  # fmt: skip
    add("--cluster", metavar="ADDRESS",
        help="dask scheduler whose workers do it instead, such as tcp://host:8786; they must see "
        "the same folders by the same paths")  # fmt: skip


def add_kernels(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of KernelOptions."""
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


def add_profile(parser: argparse.ArgumentParser, *rules: str) -> None:
    """Add --profile and --set; rules are those that matter, by their names or their sections'."""
    add = parser.add_argument
    add("--profile", choices=official.PROFILES, default=official.PROFILES[0],
        help="corrected (default): bug-fixed; official: as the official DMNet code")  # fmt: skip
    add("--set", dest="changes", action="append", default=[], metavar="RULE=VALUE",
        help="take one rule otherwise than the profile does; may be repeated")  # fmt: skip
    known = [rule for rule in official.DEVIATIONS if rule.name in rules or rule.section in rules]
    parser.set_defaults(rules=[rule.name for rule in known])
    parser.epilog += "\n\nrules for --set, the corrected value first (`dmnet deviations --help`):\n"
    for rule in known:
        parser.epilog += f"  {rule.name}: {' | '.join(map(str, rule.choices))}\n"


def options_of(kind: type[Kind], namespace: argparse.Namespace, **values: object) -> Kind:
    """Return an options dataclass, from values given and the arguments of its other fields' names.

    Fields that are dataclasses are filled likewise, and a profile from --profile and --set. Raises
    InputError.
    """
    for field in fields(kind):
        if field.name in values:
            continue
        if field.type is Profile:
            values[field.name] = _profile(namespace.profile, namespace.changes, namespace.rules)
        elif is_dataclass(field.type):
            values[field.name] = options_of(field.type, namespace)
        else:
            value = getattr(namespace, field.name)
            values[field.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _profile(name: str, changes: Sequence[str], rules: Sequence[str]) -> Profile:
    """Return a profile with changes. A rule that the command does not follow is refused."""
    found = official.named(name, changes)
    for change in changes:
        rule = change.partition("=")[0].strip()
        if rule not in rules:
            raise InputError(f"--set {rule}: a rule of another command; see --help for those here")
    return found


def rules_of(profile: Profile) -> dict[str, object]:
    """Return a profile for a file of parameters: its name and every rule."""
    return {"profile": profile.name, "rules": profile.values}


def drops_score0(profile: Profile, split: str) -> bool:
    """Tell whether density and crops leave out rows with score 0 on this split."""
    return official.drops_score0(profile.annotations.score0_dropped, split)


def sizes_from(paths: Sequence[Path]) -> dict[str, tuple[int, int]] | None:
    """Return (width, height) by stem from --image-sizes files; None where none is given."""
    found = [splits.read_image_sizes(path) for path in paths]
    return {stem: size for sizes in found for stem, size in sizes.items()} if found else None


def refuse_others(listing: Path, made: Mapping[str, object], *others: Path) -> None:
    """Raise InputError where a folder holds output of other settings: both would be mixed.

    made is what its listing must say then; where it has none, others must not be there.
    """
    if listing.is_file():
        before = files.read_json(listing)
        same = isinstance(before, dict) and all(before.get(k) == v for k, v in made.items())
    else:
        same = not any(path.exists() for path in others)
    if not same:
        raise InputError(
            f"{listing.parent}: output folder exists with other inputs or parameters; remove it "
            "or choose another --out"
        )


def note_heavy(total: float, truth: Annotations, say: Say) -> None:
    """Say so where maps hold far more objects, total, than their split has."""
    objects = int(truth.is_object.sum())
    if objects and total > COUNT_FACTOR * objects:
        say(
            f"note: the maps sum to {total:,.0f} for {objects:,} objects; were they enlarged "
            "without dividing by the area? Then thresholds and gains mean less than they say"
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
