"""Pages of a made-up experiment in a browser without a network: readable, reachable, quiet."""

import io
import math
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import nbformat
import pandas as pd
import pictured
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page

from dmnet_lib.core import files
from dmnet_lib.reporting.figures import Shown
from dmnet_lib.reporting.pages import index, pages

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


def stage(
    folder: Path, title: str, more: list[nbformat.NotebookNode], *, values: bool = True
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.v4.new_notebook(cells=cells(title) + more)
    nbformat.write(notebook, folder / "notebook.ipynb")
    if values:
        about = "seed: 3\ntrain_split: train\nval_split: val\ntest_split: val\ndataset: scenes\n"
        files.write_text(folder / "params.yaml", about)
    made_by = {"stage": title, "experiment": "x", "packages": {"torch": "2"}}
    files.write_json(folder / "provenance.json", made_by)
    return folder


METRICS = {
    "strategies": {
        name: {"AP": ap, "megapixels": 1.0, "boxes": 9, "max_detections": 500,
               "vs_global": {"difference": ap - 0.1, "low": 0.01, "high": 0.3}}
        for name, ap in (("global", 0.1), ("sliding 640", 0.2), ("planned mcnn 6", 0.3))
    },
    "main": ["global", "sliding 640", "planned mcnn 6"],
    "errors": {"planned mcnn 6": [
        {"kind": "missed", "errors": 4, "AP50_cost": 0.2, "low": 0.1, "high": 0.3}]},
    "operating": {
        "strategy": "planned mcnn 6", "score": 0.5, "f1": 0.6, "held_out_f1": None, "by_class": [],
        "confusion": {"classes": ["car"], "cells": [[6, 1], [0, 0]]}},
    "small": {"half_at_px": {"planned mcnn 6": 9.5}, "share_below": {"planned mcnn 6": 0.4}},
    "baselines": {"global": "global"}, "images": 3, "split": "val",
    "verdict": {"tone": "loses", "sentence": "`a` loses.", "against": ["Few images."],
                "strategy": "planned mcnn 6", "rival": "sliding 640"},
}  # fmt: skip


def experiment(results: Path, name: str, *, ap: float, question: str) -> Path:
    """Leave an experiment with one evaluated stage; return its folder."""
    folder = stage(results / name / "06_evaluation" / "k", "06_evaluation", [])
    strategies = METRICS["strategies"] | {"planned mcnn 6": {"AP": ap, "megapixels": 2.0}}
    files.write_json(folder / "metrics.json", METRICS | {"strategies": strategies})
    entries = pictured.add(results / name, results.parent / name)
    stage(results / name / "00_dataset" / "k", "00_dataset", [], values=False)
    about = {"question": question, "stages": entries | {"06_evaluation": {"key": "k"}}}
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
    pages.write_failed(failed)
    pages.write_experiment(root / "first")
    index.write_index(root)  # the others' too
    return root


PAGES = ("first/report.html", "second/report.html", "third/report.html",
         "first/06_evaluation.html", "first/failed/05_fused_detection/report.html",
         "first/gallery.html", "first/00_dataset.html", "index.html")  # fmt: skip


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


def runs(page: Page) -> list[str]:
    return [text.split()[0] for text in column(page, 2)]


def test_the_list_sorts_by_keyboard(context: BrowserContext, results: Path) -> None:
    page, complaints = opened(context, results / "index.html")
    assert runs(page) == ["first", "second", "third"]
    page.get_by_role("button", name="AP").focus()
    page.keyboard.press("Enter")
    assert column(page, 3) == ["35.0", "90.0", "n/a"]
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("AP")
    page.keyboard.press("Space")
    assert column(page, 3) == ["90.0", "35.0", "n/a"]
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="state").press("Enter")
    assert runs(page) == ["first", "second", "third"]
    assert column(page, 9)[0] == "failed: 05_fused_detection"
    assert page.locator("th[aria-sort]").count() == 1
    assert complaints == []


def test_the_list_filters_as_one_types_and_says_how_many(
    context: BrowserContext, results: Path
) -> None:
    page, _ = opened(context, results / "index.html")
    status = page.locator("#count")
    assert status.inner_text() == "3 of 3 shown"
    page.keyboard.press("Tab")  # the link that skips to the content
    page.keyboard.press("Tab")
    page.keyboard.type("NARROW second")
    assert runs(page) == ["second"]
    assert status.inner_text() == "1 of 3 shown"
    page.get_by_label("Show runs with").fill("<nothing>")
    assert status.inner_text() == "0 of 3 shown"


def test_without_scripts_the_list_is_a_plain_table(browser: Browser, results: Path) -> None:
    with browser.new_context(offline=True, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((results / "index.html").as_uri())
        assert page.locator("tbody tr").count() == 3
        assert page.locator("table button").count() == 0
        assert not page.get_by_label("Show runs with").is_visible()


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
    assert page.get_by_text("The methods at their default settings").is_visible()
    assert page.get_by_text("Few images.").is_visible()  # a caveat, folded
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("L")
    counts = picture.histogram()
    shares = [n / sum(counts) for n in counts if n]
    assert -sum(share * math.log2(share) for share in shares) > 0.3  # bits: there is something
    assert page.pdf().startswith(b"%PDF")


def test_no_link_is_dead(results: Path, context: BrowserContext) -> None:
    for name in PAGES:
        page, _ = opened(context, results / name)
        links = page.eval_on_selector_all("a:not([href^='data:'])", "all => all.map((a) => a.href)")
        for path, _, anchor in (unquote(urlparse(link).path + "#" + urlparse(link).fragment)
                                .partition("#") for link in links):  # fmt: skip
            assert Path(path).exists(), f"{name} links {path}"
            assert not anchor or f'id="{anchor}"' in Path(path).read_text(), f"{name}: {anchor}"


def test_the_picture_of_a_summary_flips_by_keys_and_without_scripts(
    browser: Browser, results: Path
) -> None:
    with browser.new_context(offline=True, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((results / PAGES[0]).as_uri())
        flip = page.locator(".flip")
        assert [flip.locator(f".of-{n}").is_visible() for n in range(3)] == [False, False, True]
        flip.get_by_label("Whole image").focus()
        page.keyboard.press("ArrowRight")
        assert [flip.locator(f".of-{n}").is_visible() for n in range(3)] == [False, True, False]


def test_a_gallery_flips_and_goes_on_by_keys_and_sorts(
    context: BrowserContext, results: Path
) -> None:
    page, complaints = opened(context, results / "first" / "gallery.html")
    status, shown = page.get_by_role("status"), page.locator(".gallery figure:visible")
    assert shown.count() == 1 and status.inner_text().endswith("image 1 of 2, a")
    assert status.locator("strong").inner_text() == "A planned mcnn 6: 2 TP, 0 FN, 0 FP"
    page.keyboard.press("ArrowRight")
    assert status.locator("strong").inner_text() == "B sliding 640: 0 TP, 2 FN, 0 FP"
    assert shown.locator(".of-1").is_visible() and not shown.locator(".of-2").is_visible()
    page.keyboard.press("n")
    assert status.inner_text().endswith("image 2 of 2, c")
    page.locator("select[name=order]").select_option("empty")
    page.locator("select[name=a]").select_option("global")
    assert status.inner_text().endswith("image 1 of 1, b")
    assert complaints == []


def test_a_picture_opens_at_full_size_by_key(context: BrowserContext, results: Path) -> None:
    page, _ = opened(context, results / PAGES[0])
    page.get_by_role("button", name="Enlarge").first.press("Enter")
    dialog = page.get_by_role("dialog")
    assert dialog.locator("img").bounding_box()["width"] > 1000
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_two_runs_are_compared(context: BrowserContext, results: Path) -> None:
    page, complaints = opened(context, results / "index.html")
    for name in ("first", "second"):
        page.get_by_label(f"compare {name}").check()
    told = page.locator("#compared").inner_text()
    assert told.startswith("dmnet compare first second") and "-55.0 points of AP" in told
    page.get_by_label("compare first").uncheck()
    assert "Tick two runs" in page.locator("#compared").inner_text()
    assert complaints == []


@pytest.mark.parametrize("name", [PAGES[0], "first/gallery.html", "index.html"])
def test_a_narrow_screen_scrolls_tables_alone_and_says_so(
    context: BrowserContext, results: Path, name: str
) -> None:
    page, _ = opened(context, results / name)
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    for part in page.locator(".scroll.wide").all():
        said = part.evaluate("(one) => getComputedStyle(one, '::before').content")
        assert "scrolls" in said
