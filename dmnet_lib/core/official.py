"""A profile's name in, the rules of every step out: `corrected` (bug-fixed) or `official`.

`official` does what the official DMNet code does, number for number, to compare older results.
"""

import re
from dataclasses import dataclass, fields, make_dataclass

from dmnet_lib.core import files, lists
from dmnet_lib.core.files import InputError

PROFILES = ("corrected", "official")
IN_RUNS = ("annotations", "points", "sigmas", "kernel", "regions", "fusion")  # sections
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
    other_value: Value  # that does what `official_does` says

    @property
    def choices(self) -> tuple[Value, ...]:
        """The values it can take, the corrected one first."""
        return tuple(dict.fromkeys((self.corrected, self.official, self.other_value)))


RULES = files.values_beside(__file__)
DEVIATIONS = tuple(
    Deviation(name, section, **{"other_value": rule["official"]} | rule)
    for section, rules in RULES.items()
    for name, rule in rules.items()
)
BY_NAME = {one.name: one for one in DEVIATIONS}


def _record(name: str, section: str) -> type:
    """Return a frozen dataclass of one section's rules, in the order of official.toml."""
    types = [(rule, type(values["corrected"])) for rule, values in RULES[section].items()]
    return make_dataclass(name, types, frozen=True, namespace={"__module__": __name__})


AnnotationRules = _record("AnnotationRules", "annotations")
PointRules = _record("PointRules", "points")
SigmaRules = _record("SigmaRules", "sigmas")
KernelRules = _record("KernelRules", "kernel")
MapRules = _record("MapRules", "maps")
RegionRules = _record("RegionRules", "regions")
CropRules = _record("CropRules", "crops")
FormatRules = _record("FormatRules", "formats")
FusionRules = _record("FusionRules", "fusion")
EvaluationRules = _record("EvaluationRules", "evaluation")


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


def named(name: str, changes: lists.Given = ()) -> Profile:
    """Return a profile with rules changed by "name=value, …", as text, list or mapping.

    Raises InputError.
    """
    if name not in PROFILES:
        raise InputError(f"profile {name!r}: expected {' or '.join(PROFILES)}")
    values = {one.name: getattr(one, name) for one in DEVIATIONS}
    for change in filter(None, lists.parts(changes)):
        rule, text = (*map(str.strip, re.split("[=:]", change, maxsplit=1)), "")[:2]
        if rule not in BY_NAME:
            raise InputError(f"no rule is called {rule!r}{files.nearest(rule, BY_NAME)}")
        by_text: dict[str, Value] = {str(choice): choice for choice in BY_NAME[rule].choices}
        if rule in ("grown_px", "max_detections") and text.isdecimal():
            by_text[text] = int(text)
        if text not in by_text:
            raise InputError(f"{rule} is {text!r}, expected {' or '.join(by_text)}")
        values[rule] = by_text[text]
    sections = [field.type(*map(values.get, RULES[field.name])) for field in fields(Profile)[1:]]
    return Profile(name, *sections)


def of_run(name: str, changes: lists.Given = ()) -> Profile:
    """Return the profile of an experiment. InputError also for a change by which no stage goes."""
    profile = named(name, changes)
    for rule, value in profile.values.items():
        deviation = BY_NAME[rule]
        if deviation.section not in IN_RUNS and value != getattr(deviation, name):
            raise InputError(f"no stage goes by {rule}, only commands: --set {rule}={value}")
    return profile


CORRECTED = named(PROFILES[0])


def drops_score0(rule: str, split: str, *, official_on: tuple[str, ...] = ("val",)) -> bool:
    """Tell whether rows with score 0 are dropped; official_on: splits where official code does."""
    return rule == "every_split" or split in official_on
