"""A profile's name in, the rules of every step out: `corrected` (bug-fixed) or `official`.

`official` does what the official DMNet code does, number for number, so that older results can be
compared. Each way in which the two part is one rule of official.toml, and can be set alone.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError

PROFILES = ("corrected", "official")
Value = str | int


@dataclass(frozen=True)
class Deviation:
    """One rule by which the profiles differ: its section, its values, and what both do in words."""

    name: str
    section: str
    corrected: Value
    official: Value
    corrected_does: str
    official_does: str
    compared: Value | None = None  # the other value, where both profiles take the same

    @property
    def other_value(self) -> Value:
        """The value that does what `official_does` says."""
        return self.official if self.compared is None else self.compared

    @property
    def choices(self) -> tuple[Value, ...]:
        """The values it can take, the corrected one first."""
        return tuple(dict.fromkeys((self.corrected, self.official, self.other_value)))


RULES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
DEVIATIONS = tuple(
    Deviation(name, section, **rule)
    for section, rules in RULES.items()
    for name, rule in rules.items()
)
BY_NAME = {one.name: one for one in DEVIATIONS}


@dataclass(frozen=True)
class AnnotationRules:
    """Which annotated rows are objects."""

    score0_dropped: str


@dataclass(frozen=True)
class PointRules:
    """Where an object's point is."""

    points_at: str


@dataclass(frozen=True)
class SigmaRules:
    """How adaptive sigmas are computed."""

    sigma_neighbours: str
    sigma_table: str


@dataclass(frozen=True)
class KernelRules:
    """How a point's kernel is spread over pixels."""

    kernel: str
    border_mass: str
    last_row_column: str


@dataclass(frozen=True)
class MapRules:
    """Which images have a density map."""

    empty_density: str


@dataclass(frozen=True)
class RegionRules:
    """How dense windows join into regions."""

    connectivity: int
    grown_px: int


@dataclass(frozen=True)
class CropRules:
    """What becomes of the objects that a crop cuts, and how crops are called."""

    cut_objects: str
    crop_names: str


@dataclass(frozen=True)
class FormatRules:
    """What a conversion keeps and how it is written."""

    rows: str
    empty_images: str
    oversized_boxes: str
    image_ids: str
    voc_tags: str


@dataclass(frozen=True)
class FusionRules:
    """How the boxes of several views are put together."""

    box_end: str
    top_rule: str
    nms: str


@dataclass(frozen=True)
class EvaluationRules:
    """What the COCO protocol counts."""

    ignored_regions: str
    max_detections: int


@dataclass(frozen=True)
class Profile:
    """The value of every rule, by section; what each does stands in official.toml."""

    name: str
    annotations: AnnotationRules
    points: PointRules
    sigmas: SigmaRules
    kernel: KernelRules
    maps: MapRules
    regions: RegionRules
    crops: CropRules
    formats: FormatRules
    fusion: FusionRules
    evaluation: EvaluationRules

    @property
    def values(self) -> dict[str, Value]:
        """Every rule's value by its name, for a file of parameters."""
        return {one.name: getattr(getattr(self, one.section), one.name) for one in DEVIATIONS}


def named(name: str, changes: Sequence[str] | str = ()) -> Profile:
    """Return a profile, with single rules changed by "name=value". Raises InputError.

    A text holds changes with commas between.
    """
    if isinstance(changes, str):
        changes = [change for change in changes.split(",") if change.strip()]
    if name not in PROFILES:
        raise InputError(f"profile {name!r}: expected {' or '.join(PROFILES)}")
    values = {one.name: getattr(one, name) for one in DEVIATIONS}
    for change in changes:
        rule, _, text = change.partition("=")
        values[rule.strip()] = _value(rule.strip(), text.strip())
    sections = {
        field.name: field.type(**{rule: values[rule] for rule in RULES[field.name]})
        for field in fields(Profile)
        if field.name in RULES
    }
    return Profile(name, **sections)


def _value(rule: str, text: str) -> Value:
    """Return the value that text gives to a rule."""
    if rule not in BY_NAME:
        raise InputError(f"no rule is called {rule!r}{files.nearest(rule, BY_NAME)}")
    if rule in ("grown_px", "max_detections") and text.isdecimal():
        return int(text)
    by_text = {str(choice): choice for choice in BY_NAME[rule].choices}
    if text not in by_text:
        raise InputError(f"{rule} is {text!r}, expected {' or '.join(by_text)}")
    return by_text[text]


CORRECTED = named(PROFILES[0])


def drops_score0(rule: str, split: str, *, official_on: tuple[str, ...] = ("val",)) -> bool:
    """Tell whether rows with score 0 are dropped on a split under the rule `score0_dropped`.

    official_on names the splits on which the official program in question drops them.
    """
    return rule == "every_split" or split in official_on
