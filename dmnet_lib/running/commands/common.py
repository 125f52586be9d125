"""Arguments of a command -> its options: frozen dataclasses, some shared by several commands."""

import argparse
import math
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args

from dmnet_lib.core import files, official, parallel, params
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.files import InputError
from dmnet_lib.core.made import Made
from dmnet_lib.core.official import Profile
from dmnet_lib.data import datasets, splits
from dmnet_lib.density import kernels, points
from dmnet_lib.density.kernels import SigmaRule
from dmnet_lib.density.points import Points
from dmnet_lib.running.output import Say as Say

Kind = TypeVar("Kind")  # of options
HELP = tomllib.loads(Path(__file__).with_name("help.toml").read_text(encoding="utf-8"))
METAVARS = {Path: "PATH", int: "N", float: "X", str: "TEXT"}
IMAGES_EACH = 16  # a worker must be worth its start, which takes as long as ten images


def option(words: str, flag: str | None = None, **keywords: object) -> Any:  # noqa: ANN401
    """Return a field for one argument: its help, and what else `add_argument` takes.

    flag is the field's name unless given, "" if positional; required without default or None.
    """
    return field(metadata={"flag": flag, "help": words, "keywords": keywords})


def params_file(text: str) -> Path:
    """Return a parameter file by its path, or by its name in the project's params/."""
    named = params.BASE.parent / f"{text}.yaml"
    return named if not Path(text).is_file() and named.is_file() else Path(text)


def rules(*names: str) -> Any:  # noqa: ANN401 (as field)
    """Return a field for --profile and --set, with the rules that matter or their sections."""
    known = [one for one in official.DEVIATIONS if one.name in names or one.section in names]
    return field(metadata={"rules": known})


@dataclass(frozen=True)
class Argument:
    """One argument as `add_argument` takes it; a positional one has no flags."""

    flags: tuple[str, ...]
    keywords: dict[str, Any]
    group: str = ""

    @property
    def choices(self) -> list[str]:
        """The values that it may have, if these are few."""
        return list(map(str, self.keywords.get("choices", ())))

    @property
    def words(self) -> str:
        """How the usage line names it."""
        shown = self.keywords.get("metavar") or f"{{{','.join(self.choices)}}}"
        several = {"+": f"{shown} [{shown} ...]", "?": f"[{shown}]"}
        return " ".join([*self.flags, several.get(self.keywords.get("nargs"), shown)])


def arguments(kind: type) -> Iterator[Argument]:
    """Yield the arguments of an options dataclass, of its GROUP, and of the dataclasses in it."""
    for one in fields(kind):
        if one.type is Profile:
            yield from PROFILE
        elif is_dataclass(one.type):
            yield from arguments(one.type)
        else:
            flags = tuple(filter(None, [flag_of(one)]))
            keywords = {"dest": one.name, **_keywords(one)}
            yield Argument(flags, keywords, getattr(kind, "GROUP", ""))


def add_arguments(parser: argparse.ArgumentParser, kind: type) -> str:
    """Add the arguments of an options dataclass; return the line that says which must be given."""
    groups, found = {"": parser}, list(arguments(kind))
    for one in found:
        if one.group not in groups:
            groups[one.group] = parser.add_argument_group(one.group)
        groups[one.group].add_argument(*one.flags, **one.keywords)
    needed = [one.words for one in found if not one.flags or one.keywords.get("required")]
    return " ".join(["%(prog)s [options]", *needed])


def flag_of(one: Field) -> str:
    """Return the flag of a field, "" for a positional argument."""
    flag = one.metadata["flag"]
    return f"--{one.name.replace('_', '-')}" if flag is None else flag


def _keywords(one: Field) -> dict[str, Any]:
    words, given = one.metadata["help"], dict(one.metadata["keywords"])
    kinds, default = (one.type, *get_args(one.type)), given.get("default")
    if Path in kinds:
        given.setdefault("type", path_of)
    if not {"choices", "metavar"} & given.keys() and given.get("action") in (None, "append"):
        given["metavar"] = next((METAVARS[kind] for kind in kinds if kind in METAVARS), "TEXT")
    if flag_of(one) and NoneType not in kinds and not {"default", "action"} & given.keys():
        given["required"] = True
    if isinstance(default, str | int | float) and default != "" and "default" not in words:
        words += f" (default {default})"
    return {"help": words, **given}


def options_of(kind: type[Kind], namespace: argparse.Namespace) -> Kind:
    """Return an options dataclass of parsed arguments. InputError for another command's rule."""
    values = {}
    for one in fields(kind):
        if one.type is Profile:
            values[one.name] = official.named(namespace.profile, namespace.changes)
            changed = {change.partition("=")[0].strip() for change in namespace.changes}
            own = {rule.name for rule in one.metadata["rules"]}
            if others := changed - own:
                told = f"a rule of another command; this one has {', '.join(sorted(own))}"
                raise InputError(f"--set {min(others)}: {told}")
        elif is_dataclass(one.type):
            values[one.name] = options_of(one.type, namespace)
        else:
            value = getattr(namespace, one.name)
            values[one.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def path_of(text: str) -> Path:
    """Return a path as it was given. Raises ArgumentTypeError for what can be none."""
    try:
        files.require_name(Path(text))
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not text:  # as of a variable that is not set; it would mean the current folder
        raise argparse.ArgumentTypeError("an empty path; . is the current folder")
    return Path(text)


def positive(text: str) -> float:
    """Return a finite number greater than 0."""
    if not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number greater than 0")
    return float(text)


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    if not 0 <= float(text) <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 0 to 1")
    return float(text)


def count(text: str, *, least: int = 1, most: int = 10**9) -> int:
    """Return a whole number of at least `least` and at most `most`."""
    if not text.isdecimal() or len(text) > len(str(most)) or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(
            f"{text!r:.80}: expected a whole number, {least} to {most}"
        )
    return int(text)


PROFILE = (
    Argument(("--profile",), {"choices": official.PROFILES, "default": official.PROFILES[0],
        "help": "as the bug-fixed code (default), or as the official DMNet code"}),
    Argument(("--set",), {"dest": "changes", "action": "append", "default": [],
        "metavar": "RULE=VALUE",
        "help": "one rule otherwise; may be repeated: `dmnet help profiles`"}),
)  # fmt: skip


@dataclass(frozen=True)
class OutOptions:
    """What a command may replace where it writes."""

    overwrite: bool = option("also replace what this command did not make", action="store_true")

    def made(self, out: Path, by: str, names: Iterable[str] | None = None) -> Made:
        """Return what the command `by` made at out before. InputError as of `Made.at`."""
        return Made.at(out, by, names, overwrite=self.overwrite)


@dataclass(frozen=True)
class SizeOptions:
    """Files of image sizes, where there are no images."""

    image_sizes: tuple[Path, ...] = option(
        'json of {"stem": [width, height]}', nargs="+", default=[]
    )

    def read(self) -> splits.Sizes | None:
        """Return (width, height) by stem; None where no file is given."""
        found = [splits.read_image_sizes(path) for path in self.image_sizes]
        return {stem: size for sizes in found for stem, size in sizes.items()} if found else None


@dataclass(frozen=True)
class KindOptions:
    """How data is read: its kind, where its files lie, and image sizes."""

    kind: str = option(f"if unclear: {', '.join(datasets.KINDS)}", "--from",
        choices=tuple(datasets.KINDS), metavar="KIND", default="")  # fmt: skip
    layout: str = option("of coco, if unusual: JSON,FOLDER with {split}", metavar="PATHS",
        default="")  # fmt: skip
    sizes: SizeOptions


@dataclass(frozen=True)
class DataOptions(KindOptions):
    """The same, and the split that is read."""

    split: str = option("train, val, test-dev …; not needed where there is one", default="")

    def read_from(self, path: Path, **how: object) -> splits.Split:
        """Return what path holds; how as of `datasets.read`."""
        given = {"split": self.split, "kind": self.kind, "layout": self.layout}
        return datasets.read(path, sizes=self.sizes.read(), **given, **how)


@dataclass(frozen=True)
class SplitOptions(DataOptions):
    """One split, and the data that hold it."""

    root: Path = option("a folder of data in any known layout, or a COCO json", "", metavar="ROOT")

    def read(self, say: Say, *, annotated: bool = True) -> splits.Split:
        """Return the split and say what is odd about it.

        annotated False also takes a split without an annotations folder, as one without boxes.
        """
        found = self.read_from(self.root, annotated=annotated)
        datasets.require_sizes(found)
        for note in (*found.notes, *datasets.remarks(found)):
            say(f"note: {note}")
        return found


@dataclass(frozen=True)
class DetectorOptions:
    """A detector of one's own, and how it is read."""

    detector: str | None = option("an ONNX file, or torchvision:NAME", metavar="FILE")
    model_classes: str = option("its classes, if the file names none: coco, or a list", default="")
    classes: str = option(
        'which to keep: "car, person: pedestrian", or "vehicle: car + truck"', default=""
    )
    head: str = option("what it answers, if not seen from its outputs: see `dmnet detector`",
        default="")  # fmt: skip
    input_px: int = option("longer side of views, if the network takes any (default 640)",
        type=count, default=0)  # fmt: skip
    device: str = option("where the network runs", choices=("auto", "cpu", "cuda", "mps"),
        default="auto")  # fmt: skip

    @property
    def read_as(self) -> list[str]:
        """What decides which boxes and classes its answers are."""
        return [self.model_classes, self.classes, self.head]

    def how(self) -> dict[str, object]:
        """Return how it is opened, as `sources.open_detector` takes it, and input_px."""
        return {name: value for name, value in vars(self).items() if name != "detector"}


@dataclass(frozen=True)
class WorkerOptions:
    """Who does the work: processes of this machine, or a cluster."""

    jobs: int = option("processes; 0: one per core", type=partial(count, least=0), default=0)
    cluster: str | None = option("a dask scheduler's, such as tcp://host:8786", metavar="ADDRESS")

    def lend(self, *, tasks: int | None = None) -> AbstractContextManager[Executor | None]:
        """Lend the workers; tasks as in `parallel.pool`."""
        if self.cluster is not None:
            return parallel.cluster(self.cluster)
        return parallel.pool(self.jobs, tasks=tasks)

    def lend_for(self, images: int) -> AbstractContextManager[Executor | None]:
        """Lend the workers that are worth their start on so many images."""
        return self.lend(tasks=images // IMAGES_EACH)


@dataclass(frozen=True)
class KernelOptions:
    """How wide an object's Gaussian is: the sigma rule and its values (`kernels.SigmaRule`)."""

    sigma_rule: str = option("fixed, by a class's mean scale, or by neighbours",
        choices=("fixed", "class_wise", "adaptive"), default="fixed")  # fmt: skip
    sigma: float = option("of fixed, in pixels", type=positive, default=15.0)
    train_split: str = option("split of ROOT that class_wise is measured on", default="train")
    neighbours: int = option("of adaptive", type=count, default=3)
    beta: float = option("of adaptive, sigma over distance", type=positive, default=0.3)

    def points_of(self, table: Annotations, source: SplitOptions, profile: Profile) -> Points:
        """Return the points of a split's annotations, with their sigmas."""
        drop = official.drops_score0(profile.annotations.score0_dropped, source.split)
        at = profile.points.points_at
        found = points.from_annotations(table, drop_score0=drop, points_at=at)
        scales = {}
        if self.sigma_rule == "class_wise":
            train = datasets.read_boxes(source.root, self.train_split, kind=source.kind)
            scales = kernels.class_scales_px(train)
        given = (self.sigma_rule, self.sigma, self.neighbours, self.beta)
        return SigmaRule(*given, scales, profile.sigmas).apply(found)


def parameters(source: SplitOptions, kernels: KernelOptions, profile: Profile) -> dict[str, object]:
    """Return what density and crops are made with, for a file."""
    found = {"split": source.split, "profile": profile.name, "rules": profile.values}
    found |= asdict(kernels)
    del found["train_split"]  # it shows in the sigmas
    return found
