"""The wheel alone, with no clone beside it: commands in any folder, projects of one's own."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dmnet_lib.core import files, params, project
from dmnet_lib.core.files import ROOT
from dmnet_lib.running import stages

PARTS = ("dmnet_lib", "notebooks", "params", "LICENSE", "MANIFEST.in", "README.md",
         "pyproject.toml", "setup.py")  # fmt: skip
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}],
    "categories": [{"id": 1, "name": "cow"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 20]}],
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages that holds the wheel of this clone."""
    pytest.importorskip("setuptools", "77")
    home = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, home / "clone", ignore=lambda folder, names: {
        name for name in names if Path(folder) == ROOT and name not in PARTS
    })  # fmt: skip
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", home, home / "clone"], check=True)
    with zipfile.ZipFile(next(home.glob("*.whl"))) as wheel:
        wheel.extractall(home / "site")
    shutil.rmtree(home / "clone")
    return home / "site"


def dmnet(site: Path, folder: Path, *arguments: str) -> str:
    """Return what a command of the wheel says in a folder."""
    command = [sys.executable, "-m", "dmnet_lib.running.cli", *arguments]
    environment = os.environ | {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_that_the_library_reads_travels_in_the_wheel(site: Path) -> None:
    for path in (ROOT / "dmnet_lib").rglob("*.*"):
        if path.is_file() and path.suffix != ".pyc":
            assert (site / path.relative_to(ROOT)).is_file(), path
    for place in project.shipped():
        assert (site / "dmnet_lib" / "project" / place).is_file(), place


def test_commands_work_in_an_empty_folder(site: Path, tmp_path: Path) -> None:
    files.write_json(tmp_path / "truth.json", COCO)
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 20], "score": 0.9}
    files.write_json(tmp_path / "found.json", [box])
    scored = dmnet(
        site, tmp_path, "evaluate", "--ground-truth", "truth.json", "--detections", "found.json",
        "--protocol", "coco", "--out", "metrics.json",
    )  # fmt: skip
    assert "100.00" in scored
    dmnet(site, tmp_path, "convert", "truth.json", "--to", "yolo", "--out", "yolo")
    assert (tmp_path / "yolo" / "labels" / "a.txt").is_file()
    assert f"project   {tmp_path}\n" in dmnet(site, tmp_path, "doctor")


def test_a_project_of_ones_own_has_the_keys_of_the_clone(site: Path, tmp_path: Path) -> None:
    assert "next: dmnet run here/params/tiny.yaml" in dmnet(site, tmp_path, "init", "here")
    planned = dmnet(site, tmp_path, "run", "here/params/tiny.yaml", "--dry-run").splitlines()
    experiment = params.load(ROOT / "params" / "tiny.yaml")
    ours = stages.plan(
        experiment, stages.read_notebooks(stages.NOTEBOOKS), tmp_path / "tiny", data="scenes"
    )
    assert [line.split()[1] for line in planned] == [step.key for step in ours]


def test_nothing_was_written_beside_the_library(site: Path) -> None:
    assert {path.name for path in site.iterdir()} == {"dmnet_lib", "dmnet_suite-0.1.0.dist-info"}
    assert not (site / "dmnet_lib" / "project" / "results").exists()
