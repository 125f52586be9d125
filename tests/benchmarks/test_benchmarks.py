"""Benchmarks: every one runs and tells figures, wrong results end it, memory is a command's own."""

import json
import math
import subprocess
import sys

import bench
import measure
import pytest

QUICK = [name for name in bench.BENCHMARKS if name != "training"]  # its steps take a minute


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
