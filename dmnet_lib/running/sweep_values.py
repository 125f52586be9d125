"""A parameter file and values of its parameters in, an experiment of each value out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from dmnet_lib.core import foreign, params
from dmnet_lib.core.files import InputError
from dmnet_lib.core.params import Experiment, Parameter, Value

Known = Mapping[str, Mapping[str, Parameter]]


@dataclass(frozen=True)
class Sweep:
    """A parameter's (`section.name`) values and the experiment of each, in the same order.

    name is that of the sweep's folder; notes say what had to be set for the parameter to count.
    """

    name: str
    base: Experiment
    swept: str
    values: tuple[Value, ...]
    runs: tuple[Experiment, ...]
    notes: tuple[str, ...]

    @property
    def reference(self) -> Value:
        """The value that the parameter file itself gives the parameter."""
        return _value(self.base, self.swept)

    def about(self) -> dict[str, object]:
        """Return what sweep.json says of the sweep before anything was run."""
        pairs = zip(self.runs, self.values, strict=True)
        return {
            "of": self.base.name, "parameter": self.swept, "notes": self.notes,
            "runs": [{"experiment": one.name, "value": value} for one, value in pairs],
            "question": f"What does {self.swept} do to {self.base.name}?",
        }  # fmt: skip


def changed(
    params_path: Path, settings: Sequence[str], name: str = "", *, base_path: Path = params.BASE
) -> tuple[Experiment, tuple[str, ...]]:
    """Return an experiment with settings `SECTION.NAME=V`, and what else had to be set for them.

    Without a name it is called as a sweep calls it. InputError for what it would not take, and for
    the name of another parameter file.
    """
    base, known = params.load(params_path, base_path=base_path), params.declared(base_path)
    one, places = _with_settings(base, settings, known)
    notes: tuple[str, ...] = ()
    for place in places:
        one, more = _effective(one, place, known, "--set")
        notes += more
    name = name or "-".join([base.name, *(_named(one, place, known) for place in places)])
    params.check_together(one.sections, known, "--set")
    if any((one.parent / f"{name}.yaml").exists() for one in (params_path, base_path)):
        raise InputError(f"--name {name}: is another parameter file's; choose another name")
    return _of(base, one, places, name, known), notes


def parse(
    params_path: Path, text: str, settings: Sequence[str] = (), *, base_path: Path = params.BASE
) -> Sweep:
    """Return the sweep of `SECTION.NAME=V1,V2`, with settings `SECTION.NAME=V` for all values.

    Values are those of a YAML list. InputError for what the experiment would not take.
    """
    base, known = params.load(params_path, base_path=base_path), params.declared(base_path)
    swept, values = _assigned(text, known, "--sweep")
    base, places = _with_settings(base, settings, known)
    if swept in places:
        raise InputError(f"--set {swept}: is what is swept; leave it out")
    base, notes = _effective(base, swept, known, "--sweep")
    runs: dict[str, Experiment] = {}
    idle = []
    for value in values:
        one = _with(base, swept, value)
        name = f"{base.name}-{_named(one, swept, known)}"
        if name in runs:
            raise InputError(f"--sweep {text}: two of the values would both be {name}")
        # What only this value lets do nothing, such as another rule's width, is left out.
        effective = replace(one, sections=params.without_idle(one.sections, known))
        params.check_together(effective.sections, known, f"--sweep {text}")
        idle.append(_places(one, known) - _places(effective, known))
        runs[name] = _of(base, effective, [swept], name, known)
    if set.intersection(*idle):  # of all values
        params.check_together(one.sections, known, f"--sweep {text}")
    sweep_name = f"{base.name}-{_short(swept, known)}"
    return Sweep(sweep_name, base, swept, tuple(values), tuple(runs.values()), notes)


def _with_settings(
    base: Experiment, settings: Sequence[str], known: Known
) -> tuple[Experiment, list[str]]:
    """Return an experiment with settings, and the parameters that they set."""
    places = []
    for setting in settings:
        place, ones = _assigned(setting, known, "--set")
        if len(ones) != 1 or place in places:
            raise InputError(f"--set {place}: takes one value, once")
        base = _with(base, place, ones[0])
        places.append(place)
    return base, places


def _of(
    base: Experiment, one: Experiment, places: Sequence[str], name: str, known: Known
) -> Experiment:
    """Return an experiment with its name, its question and what it changes."""
    told = " and ".join(f"{place} {params.words_of(_value(one, place))}" for place in places)
    question = f"What changes in {base.name} with {told or 'the same parameters'}?"
    return replace(one, name=name, question=question, changed=_changed(one, known))


def _named(one: Experiment, place: str, known: Known) -> str:
    """Return a parameter and its value as names of experiments have them: threshold-0_2."""
    words = params.words_of(_value(one, place))
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", words).strip("_") or "none"
    return f"{_short(place, known)}-{safe}"


def _short(place: str, known: Known) -> str:
    """Return a parameter's name, with its section's number where others are called so too."""
    section, _, name = place.partition(".")
    number = f"{section[:2]}_" if sum(name in names for names in known.values()) > 1 else ""
    return f"{number}{name}"


def _assigned(text: str, known: Known, option: str) -> tuple[str, list[Value]]:
    place, equals, given = text.partition("=")
    section, dot, name = place.strip().partition(".")
    if not (equals and dot and given.strip()):
        raise InputError(f"{option} {text}: expected SECTION.NAME=VALUE, such as common.seed=1")
    parameter = params.find(known, section, name, option)
    # Text stays as it is written: 010 and yes are no numbers and no truths there.
    is_text = isinstance(parameter.default, str | list) and not parameter.is_number
    loader = foreign.TextLoader if is_text else params.Loader
    try:
        found = foreign.parse_yaml(f"[{given}]", loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError(f"{given}: expected values; quote one with a comma") from None
    where = f"{option} {section}.{name}"
    if isinstance(parameter.default, list) and option == "--set":  # one list, in brackets or bare
        found = [found[0] if len(found) == 1 else found]
    return f"{section}.{name}", [params.check(parameter, value, where) for value in found]


def _effective(
    base: Experiment, swept: str, known: Known, option: str
) -> tuple[Experiment, tuple[str, ...]]:
    """Return the experiment in which a parameter counts, and in words what was set for that."""
    section, _, name = swept.partition(".")
    whole, notes = base.sections[params.COMMON] | base.sections[section], []
    for condition in known[section][name].conditions:
        if condition.holds(whole):
            continue
        told, is_own = f"{swept} counts {condition}", condition.name in known[section]
        if not (is_own and condition.is_wanted and len(condition.values) == 1):
            raise InputError(f"{option} {told}, as {base.name} is not")
        base = _with(base, f"{section}.{condition.name}", condition.values[0])
        notes.append(f"{told}, which is set too")
    return base, tuple(notes)


def _value(base: Experiment, place: str) -> Value:
    section, _, name = place.partition(".")
    return base.sections[section][name]


def _with(base: Experiment, place: str, value: Value) -> Experiment:
    section, _, name = place.partition(".")
    return replace(base, sections=base.sections | {section: base.sections[section] | {name: value}})


def _places(one: Experiment, known: Known) -> set[tuple[str, str]]:
    return {(section, name) for section, own in _changed(one, known).items() for name in own}


def _changed(one: Experiment, known: Known) -> dict[str, dict[str, Value]]:
    changed = {
        section: {name: v for name, v in values.items() if v != known[section][name].default}
        for section, values in one.sections.items()
    }
    return {section: values for section, values in changed.items() if values}
