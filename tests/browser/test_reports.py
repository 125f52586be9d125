"""Pages of a made-up experiment in a browser without a network: readable, reachable, quiet."""

import io
import math
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page

from dmnet_lib.core import files
from dmnet_lib.reporting.figures import Shown
from dmnet_lib.reporting.pages import pages

SEVERE = ("serious", "critical")
CODE = '''# a comment
import numpy as np


@decorated
class Thing(Base):
    """Say so."""

    def method(self, value: int = 3) -> str:
        return f"{value!r}" + r"\\d" if not value else None'''
ERROR = nbformat.v4.new_output(
    "error", ename="ValueError", evalue="bad",
    traceback=["\x1b[31mValueError\x1b[39m  \x1b[38;5;28mTrue\x1b[39m",
               "\x1b[36mCell \x1b[39m\x1b[32mIn[2]\x1b[39m\x1b[32m, line 9\x1b[39m"],
)  # fmt: skip


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (600, 200), "grey").save(buffer, format="PNG")
    return buffer.getvalue()


def shown(html: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("execute_result", {"text/html": html, "text/plain": "-"})


def cells(title: str) -> list[nbformat.NotebookNode]:
    """Return the cells of a notebook that holds all that a page has to show."""
    wide = pd.DataFrame({f"column {n}": ["-0.123 [0.1, 0.2]", "n/a"] for n in range(20)})
    split = pd.concat({"val": wide[["column 1"]]}, names=["part", "strategy"])
    figure = Shown(png(), "a,b\n1,2\n", "curve", "A caption.", "A grey curve")
    said = nbformat.v4.new_output("stream", name="stdout", text="a long line " * 40)
    prose = (
        f"# {title}\n\nWords, `code` and [a link](#1.-Step).\n\n## 1. Step\n\n|a|b|\n|-|-|\n|1|2|"
    )
    found = [nbformat.v4.new_markdown_cell(prose), nbformat.v4.new_code_cell(CODE)]
    found[1].outputs = [*(shown(f._repr_html_()) for f in (wide, split, figure)), said]
    for cell in found:
        cell.metadata.papermill = {"status": "completed"}
    return found


def stage(folder: Path, title: str, more: list[nbformat.NotebookNode]) -> Path:
    folder.mkdir(parents=True)
    notebook = nbformat.v4.new_notebook(cells=cells(title) + more)
    nbformat.write(notebook, folder / "notebook.ipynb")
    values = "seed: 3\ntrain_split: train\nval_split: val\ntest_split: val\ndataset: scenes\n"
    files.write_text(folder / "params.yaml", values)
    made_by = {"stage": title, "experiment": "x", "packages": {"torch": "2"}}
    files.write_json(folder / "provenance.json", made_by)
    return folder


METRICS = {
    "strategies": {
        name: {"AP": ap, "megapixels": 1.0, "boxes": 9, "max_detections": 500,
               "vs_global": {"difference": ap - 0.1, "low": 0.01, "high": 0.3}}
        for name, ap in (("global", 0.1), ("planned mcnn 6", 0.3))
    },
    "baselines": {"global": "global"}, "images": 3, "split": "val", "words": ["`a` is best."],
    "verdict": {"tone": "loses", "sentence": "`a` loses.", "against": ["Few images."]},
    "worst": [{"image": "a", "objects": 3, "tp": 1, "fn": 2, "fp": 0, "tp_share": 1 / 3}],
    "worst_of": {"strategy": "planned mcnn 6", "min_score": 0.5},
}  # fmt: skip


def experiment(results: Path, name: str, *, ap: float, question: str) -> Path:
    """Leave an experiment with one evaluated stage; return its folder."""
    folder = stage(results / name / "06_evaluation" / "k", "06_evaluation", [])
    strategies = METRICS["strategies"] | {"native": {"AP": ap, "megapixels": 2.0}}
    files.write_json(folder / "metrics.json", METRICS | {"strategies": strategies})
    files.write_bytes(folder / "figures" / "worst.png", png())
    about = {"question": question, "stages": {"06_evaluation": {"key": "k"}}}
    files.write_json(results / name / "latest.json", about)
    return results / name


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return results of three experiments, of which one also failed, with all their pages."""
    root = tmp_path_factory.mktemp("results")
    home = experiment(root, "first", ap=0.9, question="Does it pay?")
    experiment(root, "second", ap=0.35, question="Do narrow kernels?")
    files.write_json(root / "third" / "latest.json", {"question": "Not yet?", "stages": {}})
    broken = nbformat.v4.new_code_cell(CODE, outputs=[ERROR], metadata={"papermill": {}})
    failed = stage(home / "failed" / "05_fused_detection", "05_fused_detection", [broken])
    told = {"message": "ValueError: bad", "command": "dmnet run params/first.yaml"}
    files.write_json(failed / "error.json", told)
    pages.write_stage(failed)
    pages.write_stage(home / "06_evaluation" / "k")
    for name in ("first", "second", "third"):
        pages.write_experiment(root / name)
    pages.write_index(root)
    return root


PAGES = ("first/report.html", "second/report.html", "third/report.html",
         "first/06_evaluation/k/report.html", "first/failed/05_fused_detection/report.html",
         "index.html")  # fmt: skip


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(offline=True) as made:
        yield made


def opened(context: BrowserContext, path: Path) -> tuple[Page, list[str]]:
    """Return a page, all of it unfolded, and what it complained of or asked of a network."""
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url))
    page.goto(path.as_uri())
    page.eval_on_selector_all("details", "all => all.forEach((one) => { one.open = true })")
    quiet = (path.as_uri(), "data:")
    return page, [line for line in complaints if not line.startswith(quiet)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_whole_and_needs_no_network(
    context: BrowserContext, results: Path, name: str, scheme: str
) -> None:
    page, complaints = opened(context, results / name)
    page.emulate_media(color_scheme=scheme)
    faults = [
        (fault["id"], fault["nodes"][0]["html"])
        for fault in Axe().run(page).response["violations"]
        if fault["impact"] in SEVERE or fault["id"] in ("heading-order", "page-has-heading-one")
    ]
    assert faults == []
    assert complaints == []
    assert page.locator("h1").count() == 1
    dead = "all => all.map((a) => a.hash.slice(1)).filter((id) => !document.getElementById(id))"
    assert page.eval_on_selector_all("a[href^='#']", dead) == []


def test_a_fault_would_be_found(context: BrowserContext, results: Path) -> None:
    page, _ = opened(context, results / "index.html")
    page.add_style_tag(content="caption { color: #aaa; background: #fff }")
    assert {fault["id"] for fault in Axe().run(page).response["violations"]} >= {"color-contrast"}


def column(page: Page, number: int) -> list[str]:
    cells = page.locator(f"tbody tr:visible > :nth-child({number})")
    return cells.all_inner_texts()


def test_the_list_sorts_by_keyboard(context: BrowserContext, results: Path) -> None:
    page, complaints = opened(context, results / "index.html")
    assert column(page, 1) == ["first failed: 05_fused_detection", "second", "third"]
    page.get_by_role("button", name="AP").focus()
    page.keyboard.press("Enter")
    assert column(page, 6) == ["35.0", "90.0", "n/a"]
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("AP")
    page.keyboard.press("Space")
    assert column(page, 6) == ["90.0", "35.0", "n/a"]
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="question").press("Enter")
    assert [name.split()[0] for name in column(page, 1)] == ["second", "first", "third"]
    assert page.locator("th[aria-sort]").count() == 1
    assert complaints == []


def test_the_list_filters_as_one_types_and_says_how_many(
    context: BrowserContext, results: Path
) -> None:
    page, _ = opened(context, results / "index.html")
    status = page.get_by_role("status")
    assert status.inner_text() == "3 of 3 shown"
    page.keyboard.press("Tab")  # the link that skips to the content
    page.keyboard.press("Tab")
    page.keyboard.type("NARROW second")
    assert column(page, 1) == ["second"]
    assert status.inner_text() == "1 of 3 shown"
    page.get_by_label("Show experiments with").fill("<nothing>")
    assert status.inner_text() == "0 of 3 shown"


def test_without_scripts_the_list_is_a_plain_table(browser: Browser, results: Path) -> None:
    with browser.new_context(offline=True, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((results / "index.html").as_uri())
        assert page.locator("tbody tr").count() == 3
        assert page.locator("button").count() == 0
        assert not page.get_by_label("Show experiments with").is_visible()


def test_the_skip_link_is_seen_when_it_has_the_focus(
    context: BrowserContext, results: Path
) -> None:
    page, _ = opened(context, results / PAGES[0])
    link = page.get_by_role("link", name="Skip to the content")
    assert link.bounding_box()["x"] < 0
    page.keyboard.press("Tab")
    assert link.bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "page-content"


def test_a_wide_table_scrolls_by_itself_and_by_keyboard(
    context: BrowserContext, results: Path
) -> None:
    page, _ = opened(context, results / PAGES[3])
    part = page.locator(".scroll", has=page.locator("table.dataframe")).first
    part.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")
    assert page.evaluate("document.body.scrollWidth <= window.innerWidth")


def test_print_is_dark_on_white_and_shows_what_is_folded(
    context: BrowserContext, results: Path
) -> None:
    page, _ = opened(context, results / PAGES[0])
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    page.eval_on_selector_all("details", "all => all.forEach((one) => { one.open = false })")
    assert page.get_by_text("Parameters of 06_evaluation").is_visible()
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("L")
    counts = picture.histogram()
    shares = [n / sum(counts) for n in counts if n]
    assert -sum(share * math.log2(share) for share in shares) > 0.3  # bits: there is something
    assert page.pdf().startswith(b"%PDF")
