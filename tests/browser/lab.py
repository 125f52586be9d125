"""A JupyterLab under temporary folders, and its notebooks as someone at the browser sees them."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

TOKEN = "of-this-test"
SECONDS = 120  # that a notebook may take, on two busy cores
FOLLOWS_SECONDS = 10  # that a picture may take to follow; how quick it is, the benchmark says
QUIET = {"fetchNews": "false", "checkForUpdates": False}  # no question at the start, no network
# Each code cell's number, and the text of its error if it has one; null while cells still run.
CELLS = """() => {
  const panel = jupyterapp.shell.currentWidget;
  const cells = panel.content.widgets.map(w => w.model).filter(m => m.type === 'code');
  const rows = cells.map(m => [m.executionCount, m.outputs.toJSON().filter(
    o => o.output_type === 'error').map(o => `${o.ename}: ${o.evalue}`).join()]);
  const idle = panel.sessionContext.session?.kernel?.status === 'idle';
  return idle && rows.every(([count]) => count) || rows.some(([, error]) => error) ? rows : null;
}"""
READY = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
IMAGE_BYTES = """async element => {
  const image = element.tagName === 'IMG' ? element : element.querySelector('img');
  if (!image) return [];  // an error clears the picture
  await image.decode();  // raises for a picture that is none
  return [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())];
}"""


@contextmanager
def serve(notebooks: Path, home: Path, told: Mapping[str, str]) -> Iterator[str]:
    """Start JupyterLab on a folder; yield its address, `{}` standing for a notebook's name.

    home takes its settings and state, so nothing of the user's is read or written; told is what its
    kernels find in their environment.
    """
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    folders = {
        "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "run",
        "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }  # fmt: skip
    own = {name: str(home / folder) for name, folder in folders.items()}
    switches = (
        "--no-browser", "--expose-app-in-browser", "--ip=127.0.0.1", f"--port={_free_port()}",
        f"--ServerApp.root_dir={notebooks}", "--LabApp.extension_manager=readonly",
        "--ServerApp.allow_root=True",
    )  # fmt: skip
    with (home / "log.txt").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *switches],
            env=os.environ | own | told | {"JUPYTER_TOKEN": TOKEN},
            stdout=log,
            stderr=log,
        )
    try:
        yield f"{_address(server, home)}lab/tree/{{}}?token={TOKEN}&reset"
    finally:
        server.terminate()  # its kernels end with it
        server.wait(timeout=30)


@contextmanager
def notebook(browser: Browser, address: str) -> Iterator[Page]:
    """Open a notebook in a window of its own and yield its page; its kernel ends with the block."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page = context.new_page()
    page.goto(address)
    page.wait_for_function(READY, timeout=SECONDS * 1000)
    try:
        yield page
    finally:
        page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        context.close()


def start_all(page: Page) -> None:
    """Choose Run All Cells from the menu."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


RUN_CELL = """async place => {
  const panel = jupyterapp.shell.currentWidget;
  panel.content.activeCellIndex = place;
  await jupyterapp.commands.execute('notebook:run-cell');
}"""
CODE_CELLS = """() => jupyterapp.shell.currentWidget.content.widgets.map(
  (w, place) => w.model.type === 'code' ? place : -1).filter(place => place >= 0)"""
CLEAR = "() => jupyterapp.commands.execute('notebook:clear-all-cell-outputs')"


def run_backwards(page: Page) -> int:
    """Run every cell again, the last first; return how many. Raises AssertionError of an error."""
    places = page.evaluate(CODE_CELLS)
    for place in reversed(places):
        page.evaluate(RUN_CELL, place)
    _no_errors(page)
    return len(places)


def run_all(page: Page, *, again: bool = False) -> None:
    """Run all cells and wait. Raises AssertionError with a cell's error."""
    if again:  # cells have numbers until they are cleared
        page.evaluate(CLEAR)
    start_all(page)
    _no_errors(page)


def _no_errors(page: Page) -> None:
    """Wait for all cells; raise AssertionError with one's error."""
    rows = page.wait_for_function(CELLS, timeout=SECONDS * 1000).json_value()
    errors = [error for _, error in rows if error]
    assert not errors, errors[0]


class Explorer:
    """One explorer on a page: what it shows, and its controls as the keyboard reaches them."""

    def __init__(self, page: Page, name: str) -> None:
        self.page, self.root = page, page.locator(f".dmnet-explorer.dmnet-{name}")
        self.root.scroll_into_view_if_needed(timeout=SECONDS * 1000)
        self.part("picture").locator("img").wait_for(state="attached", timeout=SECONDS * 1000)

    def part(self, name: str) -> Locator:
        return self.root.locator(f".dmnet-{name}")

    def shown(self) -> tuple[str, str]:
        """Return a digest of the picture's bytes, and the text of the counters."""
        pixels = self.part("picture").evaluate(IMAGE_BYTES)
        counters = self.part("counters").inner_text()
        self.healthy()  # last, as what is wrong is said before the rest is cleared
        return sha256(bytes(pixels)).hexdigest(), counters

    def healthy(self) -> None:
        """Raise AssertionError with what the explorer says of an error."""
        said = " ".join(self.part("error").all_inner_texts()).strip()
        assert not said, said

    def follows(self, act: str, *which: str) -> None:
        """Move a control: press, slide or choose. Raises AssertionError unless all follows it."""
        before, end = self.shown(), time.monotonic() + FOLLOWS_SECONDS
        getattr(self, act)(*which)
        while time.monotonic() < end:
            now = self.shown()
            if all(a != b for a, b in zip(before, now, strict=True)):
                return
            self.page.wait_for_timeout(50)
        same = [n for n, a, b in zip(("picture", "counters"), before, now, strict=True) if a == b]
        raise AssertionError(f"{' and '.join(same)} did not follow: {act} {which}")

    def slide(self, label: str, key: str) -> None:
        """Press a key on the slider of that label."""
        row = self.root.locator(".widget-slider", has=self.page.get_by_text(label, exact=True))
        row.get_by_role("slider").first.press(key)

    def choose(self, label: str, option: str) -> None:
        """Choose an option of the list of that label."""
        self.root.get_by_label(label, exact=True).select_option(option)

    def press(self, label: str) -> None:
        """Press the button of that label, by the keyboard."""
        self.root.get_by_role("button", name=label, exact=True).press("Enter")

    def save_as(self, name: str) -> None:
        """Save as parameters; raise AssertionError unless the explorer says how to run them."""
        self.root.get_by_label("Save as", exact=True).fill(name)
        self.press("Save as parameters")
        expect(self.root.get_by_text(f"{name}.yaml")).to_be_visible()
        self.healthy()


def _free_port() -> int:
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


def _address(server: subprocess.Popen, home: Path) -> str:
    """Wait until the server says where it listens; return its address, with a slash behind."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and server.poll() is None:
        for path in (home / "run").glob("jpserver-*.json"):
            return json.loads(path.read_text())["url"]
        time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start:\n{(home / 'log.txt').read_text()}")
