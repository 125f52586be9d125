"""Titles, rows and text in, accessible HTML out: whole pages, tables, folded parts."""

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from dmnet_lib.reporting.pages import style

if TYPE_CHECKING:  # only its type is needed
    import pandas as pd

LONG = 40  # characters of a table's cell from which on it gets room to wrap
NUMBER = re.compile(r"[-+−]?[\d,]*\.?\d+(e[-+]?\d+)?%?( \[[^\]]*\])?|-|n/a|NaN|None")  # noqa: RUF001


class Raw(str):
    """Text that is HTML already."""


def esc(value: object) -> str:
    """Return a value as HTML, which Raw text is already."""
    return value if isinstance(value, Raw) else html.escape(str(value))


def code(text: str) -> Raw:
    """Return escaped text with `names` in code type."""
    return Raw(re.sub(r"`([^`]+)`", r"<code>\1</code>", esc(text)))


def words(text: str) -> str:
    """Return HTML without its tags."""
    return re.sub(r"<[^>]+>", "", text).strip()


def number(value: object) -> str:
    """Return a value as a table shows it: floats in at most four digits, the rest as JSON."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def flat(values: Mapping[str, object], above: str = "") -> list[tuple[str, object]]:
    """Return (dotted name, value) of nested mappings, in order of name."""
    rows: list[tuple[str, object]] = []
    for name, value in sorted(values.items()):
        rows += (
            flat(value, f"{above}{name}.") if isinstance(value, dict) else [(above + name, value)]
        )
    return rows


def page(title: str, parts: Iterable[str], *, script: str = "") -> str:
    """Return a whole HTML page, with a link that skips to what it says."""
    behaviour = f"<script>\n{script}</script>\n" if script else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{esc(title)}</title>\n<style>\n{style.sheet()}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#page-content">Skip to the content</a>\n'
        '<main id="page-content" tabindex="-1">\n'
        + "\n".join(parts)
        + f"\n</main>\n{behaviour}</body>\n</html>\n"
    )


def details(summary: str, body: str) -> str:
    """Return a part that is folded until it is asked for."""
    return f"<details><summary>{esc(summary)}</summary>{body}</details>"


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    caption: str = "",
    marked: set[int] | None = None,
    row_heads: bool = False,
) -> str:
    """Return an HTML table that scrolls by itself, columns of numbers to the right.

    Rows in marked get the class `changed`; with row_heads the first cell names its row.
    """
    kinds = [_kind([row[column] for row in rows]) for column in range(len(head))]
    titles = "".join(
        f'<th scope="col"{kind}>{esc(title)}</th>' for title, kind in zip(head, kinds, strict=True)
    )
    lines = []
    for index, row in enumerate(rows):
        changed = ' class="changed"' if index in (marked or ()) else ""
        cells = [f"<td{kind}>{esc(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)]
        if row_heads:
            cells[0] = f'<th scope="row">{esc(row[0])}</th>'
        lines.append(f"<tr{changed}>{''.join(cells)}</tr>")
    told = f"<caption>{esc(caption)}</caption>" if caption else ""
    body = f"<thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f"{scrolling(caption)}<table>{told}{body}</table></div>"


def frame(found: "pd.DataFrame", *, caption: str = "") -> str:
    """Return an HTML table of a data frame, its index first; an empty one says so."""
    if not len(found):
        return "<p>None.</p>"
    columns = found.reset_index()
    rows = columns.astype(object).to_numpy().tolist()
    return table([str(name) for name in columns.columns], rows, caption=caption, row_heads=True)


def sentences(lines: Iterable[str]) -> str:
    """Return an HTML list of sentences, with `names` in code type."""
    return f"<ul>{''.join(f'<li>{code(line)}</li>' for line in lines)}</ul>"


def scrolling(name: str) -> str:
    """Return the tag that opens a part which scrolls to the side, also by keyboard."""
    label = f' role="group" aria-label="{esc(name)}"' if name else ""
    return f'<div class="scroll" tabindex="0"{label}>'


def _kind(cells: Sequence[object]) -> str:
    if cells and all(is_number(str(cell)) for cell in cells):
        return ' class="num"'
    return ' class="long"' if any(len(str(cell)) >= LONG for cell in cells) else ""


def is_number(text: str) -> bool:
    """Tell whether a table's cell is a number, one with its interval, or the want of one."""
    return NUMBER.fullmatch(text.strip()) is not None
