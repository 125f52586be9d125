"""Notebooks that were run are no change to git: the filter that `make setup` sets up in a clone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import nbstripout
import pytest

from dmnet_lib.core.files import ROOT

STRIP = Path(sys.executable).with_name("nbstripout")
NOTEBOOK = Path("notebooks", "00_dataset.ipynb")
NOTEBOOKS = sorted((*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("notebooks/recipes/*.ipynb")))


def git(clone: Path, *words: str) -> str:
    names = {f"GIT_{who}_{what}": "x@y.z" for who in ("AUTHOR", "COMMITTER")
             for what in ("NAME", "EMAIL")}  # fmt: skip
    alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *words], cwd=clone, capture_output=True, text=True, env=os.environ | names | alone
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def committed(path: Path) -> str:
    """Return a notebook as git has it, since it may have been run here; as it is without git."""
    name = path.relative_to(ROOT).as_posix()
    shown = subprocess.run(["git", "show", f"HEAD:{name}"], cwd=ROOT, capture_output=True)
    is_known = shown.returncode == 0 and (ROOT / ".git").exists()
    return shown.stdout.decode() if is_known else path.read_text(encoding="utf-8")


def set_up(folder: Path) -> None:
    subprocess.run(["make", "--no-print-directory", "filter"], cwd=folder, check=True)


def ran(path: Path) -> None:
    """Leave a notebook as JupyterLab saves it once it was run."""
    notebook = nbformat.read(path, as_version=4)
    for number, cell in enumerate(c for c in notebook.cells if c.cell_type == "code"):
        cell.execution_count = number + 1
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="said")]
    more = {"version": "3.11.9", "mimetype": "text/x-python", "file_extension": ".py",
            "codemirror_mode": {"name": "ipython", "version": 3}, "pygments_lexer": "ipython3",
            "nbconvert_exporter": "python"}  # fmt: skip
    notebook.metadata.language_info |= more
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    nbformat.write(notebook, path)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository of a notebook and what sets the filter up, with an environment."""
    (tmp_path / "notebooks").mkdir()
    for name in ("Makefile", ".gitattributes"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / NOTEBOOK).write_text(committed(ROOT / NOTEBOOK), encoding="utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "All")
    (tmp_path / ".git" / "info" / "exclude").write_text(".venv\n")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "nbstripout").symlink_to(STRIP)
    set_up(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_of_the_repository_pass_as_they_are(path: Path) -> None:
    text = committed(path)
    stripped = nbstripout.strip_output(
        nbformat.reads(text, as_version=nbformat.NO_CONVERT), keep_id=True,
        keep_output=False, keep_count=False,
    )  # fmt: skip
    assert nbformat.writes(stripped).rstrip("\n") + "\n" == text


def test_a_notebook_that_was_run_is_no_change_and_one_that_was_edited_is(clone: Path) -> None:
    ran(clone / NOTEBOOK)
    assert git(clone / "notebooks", "diff") == ""
    set_up(clone)  # as every `make` does
    assert git(clone, "status", "--porcelain") == ""
    edited = nbformat.read(clone / NOTEBOOK, as_version=4)
    edited.cells[0].source += "\nOne more line."
    nbformat.write(edited, clone / NOTEBOOK)
    lines = [line for line in git(clone, "diff").splitlines() if line.startswith("+ ")]
    assert any("One more line" in line for line in lines) and len(lines) <= 2
    assert "said" in (clone / NOTEBOOK).read_text()  # what lies there keeps its outputs


def test_without_the_environment_git_works_on(clone: Path) -> None:
    shutil.rmtree(clone / ".venv")
    ran(clone / NOTEBOOK)
    assert git(clone, "status", "--porcelain") == f" M {NOTEBOOK}\n"
    git(clone, "add", ".")
    assert "said" in git(clone, "diff", "--cached")


def test_an_archive_is_no_repository_and_leaves_those_around_it_alone(clone: Path) -> None:
    archive = clone / "unpacked"
    archive.mkdir()
    shutil.copy(clone / "Makefile", archive)
    before = (clone / ".git" / "config").read_text()
    git(clone, "config", "--unset", "filter.nbstripout.clean")
    set_up(archive)
    assert "clean" in before and "clean" not in (clone / ".git" / "config").read_text()
    shutil.rmtree(clone / ".git")
    set_up(archive)
