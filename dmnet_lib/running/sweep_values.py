"""A parameter file and values of one parameter in, an experiment of each value out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from dmnet_lib.core import params
from dmnet_lib.core.files import InputError
from dmnet_lib.core.params import Experiment, Parameter, Value

# A parameter (left) that counts only while another has a value (right), which a sweep then sets.
NEEDS: dict[str, tuple[str, Value]] = {
    "01_density_ground_truth.sigma_px": ("01_density_ground_truth.sigma_rule", "fixed"),
    "01_density_ground_truth.neighbours": ("01_density_ground_truth.sigma_rule", "adaptive"),
    "01_density_ground_truth.beta": ("01_density_ground_truth.sigma_rule", "adaptive"),
    "03_density_crops.threshold": ("03_density_crops.calibrate", False),
    "03_density_crops.target_containment": ("03_density_crops.calibrate", True),
}
DRAWN = ("scenes_train", "scenes_val", "scenes_test", "scenes_seed")
TRAINED = ("steps", "batch_size", "learning_rate", "weight_decay", "evaluate_every", "patch_px",
           "whole_share", "pretrained")  # fmt: skip
# Parameters that count for nothing while another has a value: there is nothing to sweep.
IDLE: dict[str, tuple[str, Value]] = {
    **{f"00_dataset.{name}": ("common.dataset", "visdrone") for name in DRAWN},
    **{f"05_fused_detection.{name}": ("05_fused_detection.architecture", "onnx")
       for name in TRAINED},
}  # fmt: skip


@dataclass(frozen=True)
class Sweep:
    """What is to be run: one parameter's values and the experiment of each, in the same order.

    name is that of the sweep's folder; notes say what had to be set for the parameter to count.
    """

    name: str
    base: Experiment
    parameter: Parameter
    values: tuple[Value, ...]
    runs: tuple[Experiment, ...]
    notes: tuple[str, ...]

    @property
    def swept(self) -> str:
        """The parameter as it is written, `section.name`."""
        return f"{self.parameter.section}.{self.parameter.name}"

    @property
    def reference(self) -> Value:
        """The value that the parameter file itself gives the parameter."""
        return self.base.sections[self.parameter.section][self.parameter.name]

    def about(self) -> dict[str, object]:
        """Return what sweep.json says of the sweep before anything was run."""
        pairs = zip(self.runs, self.values, strict=True)
        return {
            "of": self.base.name,
            "parameter": self.swept,
            "runs": [{"experiment": one.name, "value": value} for one, value in pairs],
            "notes": self.notes,
            "question": f"What does {self.swept} do to {self.base.name}?",
        }


def parse(
    params_path: Path, text: str, settings: Sequence[str] = (), *, base_path: Path = params.BASE
) -> Sweep:
    """Return the sweep of `SECTION.NAME=V1,V2`, with settings `SECTION.NAME=V` for all values.

    Values are those of a YAML list: one with a comma stands in quotes. Raises InputError for a
    parameter or value that the experiment would not take, and for a value that is there twice.
    """
    base, known = params.load(params_path, base_path=base_path), params.declared(base_path)
    parameter, values = _assigned(text, known, "--sweep")
    for setting in settings:
        one, given = _assigned(setting, known, "--set")
        if len(given) != 1 or one == parameter:
            told = "takes one value" if one != parameter else "is what is swept"
            raise InputError(f"--set {setting}: {one.section}.{one.name} {told}")
        base = _with(base, one, given[0])
    base, notes = _effective(base, parameter, settings, known)
    homes = [names for names in known.values() if parameter.name in names]
    number = f"{parameter.section[:2]}_" if len(homes) > 1 else ""  # of one of several sections
    sweep_name = f"{base.name}-{number}{parameter.name}"
    names = [f"{sweep_name}-{_safe(value)}" for value in values]
    for place, name in enumerate(names):
        if name in names[:place]:
            first, second = (values[i] for i in (names.index(name), place))
            raise InputError(f"--sweep {text}: {first!r} and {second!r} would both be {name}")
    about = f"What does {parameter.section}.{parameter.name} do to {base.name}? Here it is"
    questions = [f"{about} {params.words_of(value)}." for value in values]
    runs = tuple(
        replace(_with(base, parameter, value), name=name, question=question)
        for name, value, question in zip(names, values, questions, strict=True)
    )
    for one in runs:
        params.check_profile(one.sections[params.COMMON], f"--sweep {text}")
    return Sweep(sweep_name, base, parameter, tuple(values), runs, notes)


def _assigned(
    text: str, known: Mapping[str, Mapping[str, Parameter]], option: str
) -> tuple[Parameter, list[Value]]:
    """Return the declared parameter of `SECTION.NAME=VALUES` and its checked values."""
    place, equals, given = text.partition("=")
    section, dot, name = place.strip().partition(".")
    if not (equals and dot and given.strip()):
        raise InputError(f"{option} {text}: expected SECTION.NAME=VALUE, such as common.seed=1")
    parameter = params.find(known, section, name, option)
    # Text stays as it is written: 010 and yes are no numbers and no truths there.
    loader = yaml.BaseLoader if isinstance(parameter.default, str) else params.Loader
    try:
        found = yaml.load(f"[{given}]", Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError(
            f"{given}: expected values with commas between; quote one that has any"
        ) from None
    where = f"{option} {section}.{name}"
    return parameter, [params.check(parameter, value, where) for value in found]


def _with(base: Experiment, parameter: Parameter, value: Value) -> Experiment:
    """Return the experiment with one parameter set."""
    section, name = parameter.section, parameter.name
    sections = base.sections | {section: base.sections[section] | {name: value}}
    own = {key: old for key, old in base.changed.get(section, {}).items() if key != name}
    own |= {name: value} if value != parameter.default else {}
    changed = {key: old for key, old in base.changed.items() if key != section}
    return replace(base, sections=sections, changed=changed | ({section: own} if own else {}))


def _effective(
    base: Experiment, parameter: Parameter, settings: Sequence[str],
    known: Mapping[str, Mapping[str, Parameter]],
) -> tuple[Experiment, tuple[str, ...]]:  # fmt: skip
    """Return the experiment in which the parameter counts, and a line where that changed it."""
    swept = f"{parameter.section}.{parameter.name}"
    if swept in IDLE and _value(base, IDLE[swept][0]) == IDLE[swept][1]:
        other = "{}: {}".format(*IDLE[swept])
        raise InputError(f"--sweep {swept}: counts for nothing with {other}, as in {base.name}")
    if swept not in NEEDS or _value(base, NEEDS[swept][0]) == NEEDS[swept][1]:
        return base, ()
    place, value = NEEDS[swept]
    section, _, name = place.partition(".")
    now = _value(base, place)
    told = f"{swept} counts only with {name}: {params.words_of(value)}"
    if any(setting.partition("=")[0].strip() == place for setting in settings):
        raise InputError(f"--set {place}={params.words_of(now)}: {told}; leave it out")
    return _with(base, known[section][name], value), (f"{told}, which is set so for all values",)


def _value(base: Experiment, place: str) -> Value:
    section, _, name = place.partition(".")
    return base.sections[section][name]


def _safe(value: Value) -> str:
    """Return a value as a part of a name: letters, digits, _ and -."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", params.words_of(value)).strip("_") or "none"
