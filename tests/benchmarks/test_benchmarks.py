"""Benchmarks: every one runs and tells figures, wrong results end it, memory is a command's own."""

import json
import math
import subprocess
import sys
from pathlib import Path

import bench
import measure
import numpy as np
import pytest
import rehearsal

from dmnet_lib.core import files, images
from dmnet_lib.data import scenes

SLOW = ("preparation", "crops", "growth")  # half a minute and more
QUICK = [name for name in bench.BENCHMARKS if name not in SLOW]


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict]]:
    """Return the rows of a quick run by benchmark."""
    out = tmp_path_factory.mktemp("bench") / "results.json"
    command = [sys.executable, bench.__file__, "--quick", "--out", str(out), "--only", *QUICK]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return {one["name"]: one["rows"] for one in json.loads(out.read_text())["benchmarks"]}


def test_every_benchmark_tells_finite_figures(quick: dict[str, list[dict]]) -> None:
    """And none raised, so that the library's results were those of the reference."""
    assert list(quick) == QUICK
    for rows in quick.values():
        for row in rows:
            assert math.isfinite(row["ours"]["median"]), row["what"]
            assert ("other" in row) == ("ratio" in row)
            assert row.get("peak_mb", 20) > 10, row["what"]
            assert len(measure.cells(row)) == 6


def test_a_rehearsal_has_pictures_of_the_sizes_that_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = scenes.Scene(np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3), None, None)
    monkeypatch.setattr(scenes, "scene", lambda rng: ground)
    sizes = {f"{name}": [20 + name % 2, 10] for name in range(7)}
    for split in rehearsal.SPLITS:
        files.write_json(tmp_path / f"image_sizes_{split}.json", sizes)
        for name in sizes:
            files.write_text(tmp_path / f"VisDrone2019-DET-{split}/annotations/{name}.txt", name)
    rehearsal.prepare(tmp_path, tmp_path / "home/0.6/data", 0.6)
    made = sorted((tmp_path / "home/0.6/data").glob("*-val/images/*"))
    assert [path.stem for path in made] == ["0", "2", "4", "6"]
    assert {images.read(path).image.shape for path in made} == {(10, 20, 3)}
    assert len({path.read_bytes() for path in made}) == 4
    assert (made[1].parents[1] / "annotations" / "2.txt").read_text() == "2"
