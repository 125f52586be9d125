"""Explorers in a real JupyterLab by pointer: zoom, drag, click, search, and a run by its button."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import lab
import nbformat
import pytest
from lab import Explorer
from playwright.sync_api import Browser, Page, expect

from dmnet_lib.core import files, params
from dmnet_lib.core.files import ROOT

IMAGE_WH, BUS_XY = (1920, 1080), (430, 330)  # the middle of explored.ROWS' bus
CODE = f"""
import sys
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
import explored
explored.SIZE_WH = {IMAGE_WH}
folder = Path({{folder!r}})
"""
FITS = """holder => {
  const image = holder.querySelector('img');
  return image && Math.abs(image.naturalWidth - holder.clientWidth) < 25;
}"""
BARS = """
from dmnet_lib.core import parallel
list(parallel.bar(range(3), desc="three steps"))
parallel.say_reused("the trained MCNN")
"""
SMALL = {
    "common": {"seed": 3},
    "00_dataset": {"scenes_train": 4, "scenes_val": 2, "scenes_test": 2},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a run whose data is small, and a notebook for each explorer."""
    home = tmp_path_factory.mktemp("explorers")
    for name in ("notebooks", "params", "results", "crops", "fusion"):
        (home / name).mkdir()
    latest = home / "results" / "none" / "latest.json"
    files.write_json(latest, {"question": "", "changed": SMALL, "stages": {}})
    shown = {"crops": f"data_root={str(home / 'data')!r}", "fusion": ""}
    for name, more in shown.items():
        cells = [CODE.format(folder=str(home / name)), f"explored.{name}_of(folder, {more})", BARS]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}}
        cells = [nbformat.v4.new_code_cell(one) for one in cells]
        made = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        nbformat.write(made, home / "notebooks" / f"{name}.ipynb")
    return home


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    told = {f"DMNET_{name}_ROOT": str(home / name.lower()) for name in ("RESULTS", "PARAMS")}
    with lab.serve(home / "notebooks", home / "jupyter", told) as address:
        yield address


def place(explorer: Explorer, xy: tuple[float, float]) -> tuple[float, float]:
    """Return where on the page a point of the image is, while all of it is seen."""
    image, box = explorer.part("picture").locator("img"), None
    for _ in range(100):  # there is none for a moment, while the picture is drawn anew
        if box := image.bounding_box():
            break
        image.page.wait_for_timeout(50)
    share = xy[0] / IMAGE_WH[0], xy[1] / IMAGE_WH[1]
    return box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"]


def wait_for(explorer: Explorer, words: str) -> None:
    expect(explorer.part("picture")).to_contain_text(words, timeout=lab.FOLLOWS_SECONDS * 1000)


def test_an_explorer_is_zoomed_dragged_clicked_and_searched(browser: Browser, address: str) -> None:
    with lab.notebook(browser, address.format("fusion.ipynb")) as page:
        lab.run_all(page)
        explorer, whole = Explorer(page, "fusion"), "Scale 0."
        explorer.root.get_by_role("button", name="Show image_0").press("Enter")
        expect(explorer.part("counters")).to_contain_text("image_0")
        explorer.root.get_by_label("crops", exact=True).uncheck()
        wait_for(explorer, whole)
        page.wait_for_function(FITS, arg=explorer.part("picture").element_handle())
        at = place(explorer, BUS_XY)
        page.mouse.dblclick(*at)  # to 1:1, where the bus stays under the pointer
        wait_for(explorer, "Scale 1.")
        page.wait_for_timeout(500)  # or a third click would be a second double one
        page.mouse.click(*at)
        expect(explorer.part("picked")).to_contain_text("bus")
        expect(explorer.part("picked")).to_contain_text("px")
        _look(page, "picked")
        page.mouse.wheel(0, -400)
        wait_for(explorer, "Scale 2.")
        before = explorer.shown()[0]
        page.mouse.down()
        page.mouse.move(at[0] + 80, at[1] + 40, steps=4)
        page.mouse.up()
        end = time.monotonic() + lab.FOLLOWS_SECONDS
        while explorer.shown()[0] == before:
            assert time.monotonic() < end
        explorer.press("Whole image")
        wait_for(explorer, whole)
        explorer.root.get_by_label("Find (part of a name)").fill("E_1")
        expect(explorer.part("thumbnails")).to_contain_text("names with it: 1")
        explorer.root.get_by_role("button", name="Show image_1").click()
        expect(explorer.part("counters")).to_contain_text("image_1")
        explorer.healthy()
        bar = page.locator(".widget-hbox", has=page.locator(".widget-hprogress"))
        expect(bar).to_contain_text("three steps")
        expect(page.get_by_text("reused: the trained MCNN", exact=True)).to_be_attached()


def test_a_plan_is_saved_and_run_by_the_button(browser: Browser, address: str, home: Path) -> None:
    with lab.notebook(browser, address.format("crops.ipynb")) as page:
        lab.run_all(page)
        explorer = Explorer(page, "crops")
        explorer.follows("choose", "Policy", "planned")
        explorer.follows("slide", "Budget (crops)", "Home")
        explorer.save_as("plan")
        explorer.press("Run")
        said = explorer.part("run")
        expect(said).to_contain_text("00_dataset  done in", timeout=lab.SECONDS * 1000)
        _look(page, "run")
        explorer.press("Stop")
        expect(said).to_contain_text("was stopped", timeout=lab.SECONDS * 1000)
        explorer.healthy()
    changed = params.load(home / "params" / "plan.yaml").changed
    assert changed["03_density_crops"] == {"crops_per_image": 1}
    assert changed["05_fused_detection"]["budgets"][0] == 1
    assert list((home / "results" / "plan" / "00_dataset").glob("*/metrics.json"))


def _look(page: Page, name: str) -> None:
    """Leave a screenshot where DMNET_SCREENSHOTS says."""
    if "DMNET_SCREENSHOTS" in os.environ:
        page.screenshot(path=Path(os.environ["DMNET_SCREENSHOTS"], f"{name}.png"))
