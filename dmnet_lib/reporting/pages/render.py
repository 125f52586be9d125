"""Templates and the values they show in, HTML out; tables also as Markdown."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape
from pygments.formatters import HtmlFormatter

from dmnet_lib.core import files
from dmnet_lib.core.result_folder import EVALUATION

STATIC = Path(__file__).parent / "static"
GLOSSARY = files.values_beside(__file__)  # {term: what it means}
LONG = 40  # characters of a table's cell from which on it gets room to wrap
NUMBER = re.compile(r"[-+−]?[\d,]*\.?\d+(e[-+]?\d+)?%?( \[[^\]]*\])?|-|same|n/a|NaN|None")  # noqa: RUF001


@dataclass(frozen=True)
class Table:
    """A table as it is shown: with row_heads the first cell names its row; changed are the places
    of the rows that are marked."""

    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""
    row_heads: bool = False
    changed: Collection[int] = ()

    @classmethod
    def of_frame(cls, frame: pd.DataFrame, *, caption: str = "") -> "Table":
        """Return a data frame as a table, its index first."""
        columns = frame.reset_index()
        rows = columns.astype(object).to_numpy().tolist()
        return cls([str(name) for name in columns.columns], rows, caption, row_heads=True)

    @property
    def kinds(self) -> list[str]:
        """The CSS class of each column: `num` to the right, `long` with room to wrap, or none."""
        found = []
        for column in range(len(self.head)):
            cells = [Markup(row[column]).striptags() if isinstance(row[column], Markup)
                     else str(row[column]) for row in self.rows]  # fmt: skip
            is_long = any(len(cell) >= LONG for cell in cells)
            found.append("num" if cells and all(map(is_number, cells)) else "long" * is_long)
        return found

    def markdown(self) -> str:
        """Return the table as Markdown, without its caption; cells hold no links."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        unsafe = str.maketrans({"|": "\\|", "\n": " ", "<": "&lt;"})
        cells = [[str(cell).translate(unsafe).replace("](", "]\\(") for cell in r] for r in lines]
        return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def is_number(text: str) -> bool:
    """Tell whether a table's cell is a number, one with its interval, or the want of one."""
    return NUMBER.fullmatch(text.strip()) is not None


def number(value: object) -> str:
    """Return a value as a table shows it: floats in at most four digits, the rest as JSON."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def flat(values: Mapping[str, object], above: str = "") -> list[tuple[str, object]]:
    """Return (dotted name, value) of nested mappings, in order of name."""
    rows: list[tuple[str, object]] = []
    for name, value in sorted(values.items()):
        is_nested = isinstance(value, dict)
        rows += flat(value, f"{above}{name}.") if is_nested else [(above + name, value)]
    return rows


def code(text: str) -> Markup:
    """Return escaped text with `names` in code type."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def html(template: str, **values: object) -> Markup:
    """Return a template, by its name without suffixes, filled with values, which are escaped."""
    return Markup(_environment().get_template(f"{template}.html.j2").render(values))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("dmnet_lib.reporting.pages"),
        autoescape=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters["code"] = code
    light, dark = (
        HtmlFormatter(style=name).get_style_defs(".highlight") for name in ("xcode", "monokai")
    )
    in_dark = f"@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}"
    made.filters["stage"] = lambda name: name[:2] + " " + name[3:].replace("_", " ")
    texts = {path.name: path.read_text(encoding="utf-8") for path in STATIC.iterdir()}
    scripts = {n.replace(".", "_"): Markup(text) for n, text in texts.items() if n[-3:] == ".js"}
    css = Markup(f"{light}\n{in_dark}\n{texts['page.css']}")
    made.globals |= scripts | {"stylesheet": css, "evaluation": EVALUATION}
    made.globals["glossary"] = {term: code(text) for term, text in GLOSSARY.items()}
    return made
