"""An executed notebook in, its HTML out: code folded, tables and headings as readers need them."""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup, Tag
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.preprocessors import TagRemovePreprocessor

from dmnet_lib.evaluation.difference import MISSING
from dmnet_lib.reporting.pages import render

WIDGET = "application/vnd.jupyter.widget-view+json"
ERROR_NOTES = "papermill-error-cell-tag"  # of cells that papermill adds; the page says it itself
UNKNOWN = ("NaN", "None", "nan", "NaT")  # pandas's words for what was not measured
DIGITS = re.compile(r"-?\d*\.\d{4,}(e[-+]\d+)?|-?\d+\.0")  # a float as pandas prints it
STEP = re.compile(r"^\d+\. ")  # before a heading's words
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


@dataclass(frozen=True)
class Heading:
    """A heading of a page: its level 1..6, its anchor and its text."""

    level: int
    anchor: str
    text: str


@dataclass(frozen=True)
class Body:
    """A notebook as HTML, its headings in order, and the prose below the first of them."""

    html: Markup
    headings: tuple[Heading, ...] = ()
    intro: str = ""

    def titles(self, level: int) -> list[Heading]:
        """Return the headings of one level."""
        return [one for one in self.headings if one.level == level]


def body(path: Path, *, prefix: str = "", number: str = "", deeper: int = 0) -> Body:
    """Return a notebook as HTML; prefix keeps heading anchors apart, deeper moves headings down,
    and figures and tables are counted behind the number."""
    if not path.exists():
        return Body(Markup("<p>Its notebook was not kept; run the experiment again to see it.</p>"))
    template = Path(__file__).with_name("templates") / "notebook.html.j2"
    exporter = HTMLExporter(template_name="basic", raw_template=template.read_text("utf-8"))
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    tags = {"remove_input_tags": {"remove-input"}, "remove_cell_tags": {"remove-cell", ERROR_NOTES}}
    exporter.register_preprocessor(TagRemovePreprocessor(**tags), enabled=True)
    notebook = _showable(nbformat.read(path, as_version=4))
    soup = BeautifulSoup(exporter.from_notebook_node(notebook)[0], "html.parser")
    for tag in soup.select("style, a.anchor-link"):  # of pandas and nbconvert; the page has its own
        tag.decompose()
    for tag in soup.select("pre span[style]"):  # colours of a terminal, made for one background
        del tag["style"]
    _mend_tables(soup, number)
    _count_figures(soup, number)
    _mend_links(soup, prefix)
    headings = []
    for tag in soup.find_all(HEADINGS):
        level = min(6, int(tag.name[1]) + deeper)
        tag.name = f"h{level}"
        headings.append(Heading(level, str(tag.get("id", "")), tag.get_text().strip()))
    return Body(Markup(soup), tuple(headings), _intro(soup))


def _intro(soup: BeautifulSoup) -> Markup:
    """Return the prose between the first heading and the next cell, without its links."""
    first = soup.find(HEADINGS)
    prose = first.find_next_siblings("p") if first else []
    texts = [BeautifulSoup(str(one), "html.parser") for one in prose]
    for link in (link for text in texts for link in text.find_all("a")):
        link.unwrap()
    return Markup("".join(map(str, texts)))


def _count_figures(soup: BeautifulSoup, number: str) -> None:
    for place, figure in enumerate(soup.find_all("figure"), start=1):
        if figure.figcaption is None:
            figure.append(soup.new_tag("figcaption"))
        figure.figcaption.insert(0, f"Figure {number}{place}. ")


def _showable(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    notebook.metadata.pop("widgets", None)
    ran = [c for c in notebook.cells if c.metadata.get("papermill", {}).get("status") != "pending"]
    for cell in (cell for cell in ran if cell.cell_type == "code"):
        for output in cell.outputs:
            output.get("data", {}).pop("application/javascript", None)
        cell.outputs = [
            output
            for output in cell.outputs
            if output.get("name") != "stderr" and WIDGET not in output.get("data", {})
        ]
    notebook.cells = ran
    return notebook


def _mend_links(soup: BeautifulSoup, prefix: str) -> None:
    """Keep anchors of several notebooks apart, and say which numbers a link would download."""
    for tag in soup.find_all(id=True):
        tag["id"] = prefix + tag["id"]
    for link in soup.find_all("a", href=True):
        if link["href"].startswith("#"):
            link["href"] = f"#{prefix}{link['href'][1:]}"
        if link.has_attr("download"):
            link["aria-label"] = f"{link.get_text()} of this figure: {link['download']}"


def _mend_tables(soup: BeautifulSoup, number: str) -> None:
    """Give every table a caption, by its number and the words above, and heads with a scope."""
    above, said, count = "", set(), 0
    for tag in soup.find_all([*HEADINGS, "p", "table"]):
        if tag.name == "p" and tag.get_text().endswith(":"):  # it leads to the table
            above = tag.get_text().rpartition(". ")[2].rstrip(":")
        elif tag.name in HEADINGS:
            above = STEP.sub("", tag.get_text()).strip()
        if tag.name != "table":
            continue
        count += 1
        caption = f"Table {number}{count}. {above}{', continued' * (above in said)}".strip()
        said.add(above)
        _mend_heads(soup, tag)
        _mend_cells(tag)
        tag.insert(0, soup.new_tag("caption", string=caption))
        del tag["border"]
        group = {"class": "scroll", "tabindex": "0", "role": "group", "aria-label": caption}
        tag.wrap(soup.new_tag("div", attrs=group))


def _mend_heads(soup: BeautifulSoup, table: Tag) -> None:
    if table.thead is None and table.tr is not None:
        table.insert(0, soup.new_tag("thead"))
        table.thead.append(table.find("tr"))
    heads = table.thead.find_all("tr") if table.thead else []
    if len(heads) == 2:
        _join_heads(*heads)
    for cell in table.find_all("th"):
        if cell.get_text(strip=True):
            cell["scope"] = "col" if cell.find_parent("thead") else "row"
        else:
            cell.name = "td"


def _join_heads(names: Tag, index: Tag) -> None:
    """Put the names of a data frame's index into the row of its columns' names."""
    above, below = names.find_all("th"), index.find_all("th")
    if len(above) == len(below) and not below[-1].get_text(strip=True):
        for a, b in zip(above, below, strict=True):
            a.string = b.get_text(strip=True) or a.get_text(strip=True)
        index.decompose()


def _mend_cells(table: Tag) -> None:
    lines = [row for row in table.select("tr") if not row.find_parent("thead")]
    for cell in (cell for row in lines for cell in row.find_all("td")):
        if cell.get_text(strip=True) in UNKNOWN:
            cell.string = MISSING
        elif DIGITS.fullmatch(text := cell.get_text(strip=True)):
            cell.string = f"{float(text):.4g}"
    for row in lines:  # a row in which nothing was measured says nothing
        if row.td and all(cell.get_text() == MISSING for cell in row.find_all("td")):
            row.decompose()
    rows = [row.select("td, th") for row in lines if not row.decomposed]
    heads = table.select("thead tr:last-child > *")
    for cell in (cell for row in rows for cell in row if cell.name == "td"):
        if len(cell.get_text()) >= render.LONG:
            cell["class"] = "long"
    # Counted from the right: a head that spans rows leaves those below it with fewer cells.
    for place in range(1, 1 + min(map(len, rows), default=0)):
        column = [row[-place] for row in rows]
        if all(c.name == "td" and render.is_number(c.get_text()) for c in column):
            for cell in column + heads[-place:][:1]:
                cell["class"] = "num"
