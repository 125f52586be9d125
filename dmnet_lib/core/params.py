"""Parameter files in, checked typed values out: `params/base.yaml` and what an experiment changes.

A file is `section: {name: value}`; a section is `common` or a notebook's stem. In base.yaml the
comment behind each default opens with the allowed values, `[0, 1]`, `(0, inf)`, `{fixed, adaptive}`
or `{calibrated} or (0, inf)`, followed by the unit and what it does. It ends with what a parameter
depends on: `; only with sigma_rule: adaptive`, `; not with architecture: onnx`. Where such a
condition does not hold, a value other than the default would do nothing, and is refused.
"""

import math
import os
import re
import textwrap
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from dmnet_lib.core import files, foreign, lists, official
from dmnet_lib.core.files import ROOT, InputError

BASE = files.SOURCES / "params" / "base.yaml"
COMMON = "common"
Value = bool | int | float | str | list
Entry = TypeVar("Entry")

BOOL = re.compile(r"(true|True|TRUE|false|False|FALSE)$")
NULL = re.compile(r"(~|null|Null|NULL|)$")
INT = re.compile(r"[-+]?(0|[1-9][0-9]*)$")
FLOAT = re.compile(
    r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?|\.[0-9]+([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))$"
    r"|\.(nan|NaN|NAN)$"
)
TYPES = {  # as messages name them
    bool: "true or false", int: "a whole number", float: "a number", str: "text",
    type(None): "nothing", dict: "a mapping", list: "a list",
}  # fmt: skip
BOUND = r"\s*(-?inf|[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*"
RANGE = re.compile(rf"([\[(]){BOUND},{BOUND}([\])])")
CHOICES = re.compile(r"\{([^}]*)\}")
ALLOWED = re.compile(rf"{CHOICES.pattern} or {RANGE.pattern}|{CHOICES.pattern}|{RANGE.pattern}")
CONDITION = re.compile(r"; (only|not) with (\w+): ([^;]+)")
GONE = {"calibrate": "write threshold: calibrated, or threshold: and a number, as the paper's 0.08"}


class Loader(foreign.Loader):
    """Scalars as YAML 1.2 means them (1e-6 is a number; yes, 010 and 12:30 are text), keys once."""

    yaml_implicit_resolvers: dict = {}  # noqa: RUF012 (PyYAML's own way to say it)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        known = set()
        for key, _ in node.value:
            if str(key.value) in known:
                told = f"{key.value} is given twice"
                raise yaml.constructor.ConstructorError(None, None, told, key.start_mark)
            known.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


class Dumper(yaml.SafeDumper):
    """Quotes each text that this loader, or YAML 1.1, would read as something else."""


for kind, scalar in {"bool": BOOL, "null": NULL, "int": INT, "float": FLOAT}.items():
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", scalar, None)
Dumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, None)
Dumper.add_representer(list, lambda dumper, value: dumper.represent_sequence(
    "tag:yaml.org,2002:seq", value, flow_style=True))  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """What another parameter, or a rule of the profile, must be or not be for one to count."""

    name: str
    values: tuple[Value, ...]
    is_wanted: bool

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Tell whether it is so among values, which may lack the name."""
        return self.name not in values or (values[self.name] in self.values) == self.is_wanted

    def __str__(self) -> str:
        either = " or ".join(map(words_of, self.values))
        return f"{'only' if self.is_wanted else 'not'} with {self.name}: {either}"


@dataclass(frozen=True)
class Parameter:
    """One declared parameter; allowed is the range or the choices as they are written."""

    name: str
    section: str
    default: Value
    allowed: str
    help: str
    conditions: tuple[Condition, ...] = ()

    @property
    def is_number(self) -> bool:
        """Whether it takes numbers of a range, and no text but its choices."""
        return bool(RANGE.search(self.allowed))


@dataclass(frozen=True)
class Experiment:
    """One experiment: base.yaml's values with its file's over them; changed: those that differ."""

    name: str
    question: str
    path: Path
    sections: dict[str, dict[str, Value]]
    changed: dict[str, dict[str, Value]]


def declared(base_path: Path = BASE) -> dict[str, dict[str, Parameter]]:
    """Return every parameter of base.yaml by section and name. Raises InputError at a flaw."""
    text, sections = _read(base_path)
    comments = _comments(text)
    table: dict[str, dict[str, Parameter]] = {}
    for section, values in sections.items():
        for name, default in values.items():
            comment = comments[section, name]
            found = ALLOWED.match(comment)
            allowed = found[0] if found else ""
            help_text = comment.removeprefix(allowed).strip(" ,;:")
            conditions = tuple(map(_condition, CONDITION.finditer(comment)))
            parameter = Parameter(name, section, default, allowed, help_text, conditions)
            where = f"{shown(base_path)}: {section}.{name}"
            if not allowed and type(default) in (int, float):
                raise InputError(f"{where}: its comment must open with a range such as [0, 1]")
            table.setdefault(section, {})[name] = parameter
            check(parameter, default, where)
    return table


def declared_names() -> dict[str, Parameter]:
    """Return every parameter of base.yaml by its name, which is of one type in all sections."""
    return {name: one for names in declared().values() for name, one in names.items()}


def load(path: Path, *, base_path: Path = BASE, text: str | None = None) -> Experiment:
    """Return the experiment of a parameter file, or of the text that is to be written there.

    Raises InputError that names section and name.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", path.stem):
        raise InputError(f"{path}: rename it: the name may hold letters, digits, _ and - only")
    known, where = declared(base_path), shown(path)
    text, given = _read(path, text)
    sections = {s: {n: p.default for n, p in names.items()} for s, names in known.items()}
    changed: dict[str, dict[str, Value]] = {}
    for section, values in given.items():
        for name, value in values.items():
            parameter = find(known, section, name, where)
            value = check(parameter, value, f"{where}: {section}.{name}")
            if value != parameter.default:
                changed.setdefault(section, {})[name] = value
                sections[section][name] = value
    check_together(sections, known, where)
    first = text.lstrip("\ufeff\n ").split("\n", 1)[0]
    question = first.lstrip("# ").strip() if first.startswith("#") else ""
    return Experiment(path.stem, question, path, sections, changed)


def check_together(
    sections: Mapping[str, Mapping[str, Value]], known: Mapping[str, Mapping[str, Parameter]],
    where: str,
) -> None:  # fmt: skip
    """Raise InputError for a rule that no profile has, and for a value that would do nothing."""
    common = sections.get(COMMON, {})
    try:
        official.of_run(str(common.get("profile", "corrected")), common.get("profile_changes", ""))
    except InputError as error:
        raise InputError(f"{where}: {COMMON}.profile_changes: {error}") from None
    for section, values in sections.items():
        require_effect({**common, **values}, known[section], where)


def require_effect(values: Mapping[str, Value], known: Mapping[str, Parameter], where: str) -> None:
    """Raise InputError for one of the known parameters that others' values let do nothing."""
    for name, condition in idle(values, known).items():
        told = f"{known[name].section}: {name} counts {condition}"
        to = f"{condition}".partition("with ")[2] if condition.is_wanted else condition.name
        how = f"set {to}" if condition.is_wanted else f"change {to}"
        raise InputError(f"{where}: {told}; remove it or {how}")


def idle(values: Mapping[str, Value], known: Mapping[str, Parameter]) -> dict[str, Condition]:
    """Return the parameters that differ from their default and yet do nothing, with why.

    values: those of a stage, the common ones too; conditions may name a profile's rule as well.
    """
    profile, changes = values.get("profile", "corrected"), values.get("profile_changes", ())
    whole = {**official.named(profile, changes).values, **values}
    return {
        name: condition
        for name, one in known.items()
        if name in values and values[name] != one.default
        for condition in one.conditions
        if not condition.holds(whole)
    }


def without_idle(
    sections: Mapping[str, Mapping[str, Value]], known: Mapping[str, Mapping[str, Parameter]]
) -> dict[str, dict[str, Value]]:
    """Return the sections with the default of each value that does nothing."""
    common = sections.get(COMMON, {})
    found = {}
    for section, own in sections.items():
        off = idle({**common, **own}, known.get(section, {}))
        found[section] = own | {name: known[section][name].default for name in off}
    return found


def of_stage(
    sections: Mapping[str, Mapping[str, Entry]], stage: str, names: Collection[str]
) -> dict[str, Entry]:
    """Return a stage's part of sections: of `common` what is among names, and its own section."""
    common = {n: one for n, one in sections.get(COMMON, {}).items() if n in names}
    return common | dict(sections.get(stage, {}))


def find(
    known: Mapping[str, Mapping[str, Parameter]], section: str, name: str, where: str
) -> Parameter:
    """Return the declared parameter. Raises InputError that says the nearest right one."""
    if section not in known:
        raise InputError(f"{where}: {section}: no such section{files.nearest(section, known)}")
    if name in known[section]:
        return known[section][name]
    if name in GONE:
        raise InputError(f"{where}: {section}.{name} is no parameter any more: {GONE[name]}")
    homes = " and ".join(other for other, names in known.items() if name in names)
    hint = f"; it belongs to {homes}" if homes else files.nearest(name, known[section])
    raise InputError(f"{where}: {section}.{name}: no such parameter{hint}")


def check(parameter: Parameter, value: Value, where: str) -> Value:
    """Return value in the declared type (a float may be given as 1, a list as text with commas).

    Raises InputError at where.
    """
    kind = _kind(parameter, value)
    if kind is list:
        if not lists.is_plain(value):
            raise InputError(f"{where}: expected a list of texts and numbers, got {value!r:.60}")
        value = lists.entries(value)
    if kind is float and type(value) is int:
        value = float(value) if abs(value) < 2**1000 else math.inf
    if type(value) is not kind:
        expected = TYPES.get(kind, "a single value")
        got = TYPES.get(type(value), type(value).__name__)
        got = got if value is None or isinstance(value, dict) else f"{value!r} ({got})"
        raise InputError(f"{where}: expected {expected}, got {got}")
    if kind is int and abs(value) >= 2**63:
        raise InputError(f"{where}: {value!r:.20}… is too large a number")
    if isinstance(value, str | list) and "\0" in lists.text(value):  # which no path can hold
        raise InputError(f"{where}: {value!a:.60} holds a null byte")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where}: {value} is not a finite number")
    choices, bounds = CHOICES.match(parameter.allowed), RANGE.search(parameter.allowed)
    if choices and not (bounds and kind is float):
        names = [name.strip() for name in choices[1].split(",")]
        if value not in [parse(name) for name in names]:
            hint = files.nearest(str(value), names) or " or a number" * bool(bounds)
            raise InputError(f"{where}: {value} is not one of {', '.join(names)}{hint}")
    elif bounds:
        opening, low, high, closing = bounds.groups()
        ends = [float(low)] * (opening == "[") + [float(high)] * (closing == "]")
        if not (float(low) < value < float(high) or value in ends):
            raise InputError(f"{where}: {value} is outside {parameter.allowed}")
    return value


def _kind(parameter: Parameter, value: Value) -> type:
    """Return the type that a value must have: of a word or a number, the one that it looks like."""
    kind = type(parameter.default)
    if kind is str and parameter.is_number and type(value) in (int, float):
        return float
    return kind


def dump(values: Mapping[str, Value]) -> str:
    """Return flat YAML that this loader and papermill's -f read back as the same values."""
    return yaml.dump(dict(values), Dumper=Dumper, allow_unicode=True, width=math.inf)


def text_of(question: str, sections: Mapping[str, Mapping[str, Value]]) -> str:
    """Return the text of a parameter file: its question, and the values of each section."""
    parts = [f"{s}:\n{textwrap.indent(dump(v), '  ')}" for s, v in sections.items() if v]
    return "".join([f"# {question}\n", *parts])


def words_of(value: Value) -> str:
    """Return a value as YAML writes it, text without quotes."""
    return value if isinstance(value, str) else dump({"v": value})[len("v: ") :].strip()


def parse(text: str) -> object:
    """Return the value of YAML text. Raises yaml.YAMLError or RecursionError."""
    return foreign.parse_yaml(text, loader=Loader)


def shown(path: Path) -> str:
    """Return the path as people write it: relative to the project where both lie inside."""
    whole = Path(os.path.realpath(path))  # resolve raises for links in circles
    is_inside = whole.is_relative_to(ROOT) and Path.cwd().is_relative_to(ROOT)
    return str(whole.relative_to(ROOT)) if is_inside else str(path)


def _read(path: Path, text: str | None = None) -> tuple[str, dict[str, dict[str, Value]]]:
    name = shown(path)
    try:
        text = foreign.read_yaml(path) if text is None else text
        table = parse(text)
    except FileNotFoundError:
        hint = files.nearest(path.stem, [one.stem for one in BASE.parent.glob("*.yaml")])
        raise InputError(f"{name}: no such parameter file{hint}") from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise InputError(f"{name}: not a text file") from None
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        words = " ".join((getattr(error, "problem", None) or str(error)).split())
        raise InputError(f"{name}: {line}{words}") from None
    table = {} if table is None else table  # a file of comments only changes nothing
    sections = table.values() if isinstance(table, dict) else [table]
    if not all(isinstance(values, dict) for values in sections):
        raise InputError(f"{name}: expected sections with `name: value` lines below them")
    return text, {str(s): {str(n): v for n, v in values.items()} for s, values in table.items()}


def _condition(found: re.Match) -> Condition:
    """Return the condition that the end of a parameter's comment states."""
    values = tuple(parse(word.strip()) for word in found[3].split(" or "))
    return Condition(found[2], values, found[1] == "only")


def _comments(text: str) -> dict[tuple[str, str], str]:
    """Return the comment behind each `name: value` of a two-level YAML text."""
    lines, comments = [*text.split("\n"), ""], {}
    tree = yaml.compose(text, Loader=Loader)
    for section, values in tree.value if tree else ():
        for name, value in values.value:
            rest = lines[value.end_mark.line][value.end_mark.column :].strip()
            comments[section.value, name.value] = rest.lstrip("# ").strip()
    return comments
