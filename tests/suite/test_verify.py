"""dmnet verify runs a small project's stages again, and names what was changed since."""

import os
import subprocess
import sys
from pathlib import Path

import projects

from dmnet_lib.core import files

CELLS = [
    projects.START,
    projects.COMMON,
    'stage = provenance.begin("00_numbers", globals())\nstage.write_metrics({"total": 3.0})',
]


def dmnet(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    told = {n: value for n, value in os.environ.items() if not n.startswith("DMNET_")}
    command = [sys.executable, "-m", "dmnet_lib.running.cli", *arguments]
    told |= {"PYTHONPATH": str(files.SOURCES)}
    return subprocess.run(command, cwd=root, env=told, capture_output=True, text=True, check=False)


def test_stages_run_again_elsewhere_and_a_changed_metric_is_found(tmp_path: Path) -> None:
    project = projects.Project(tmp_path)
    project.notebook("00_numbers", CELLS, {"needs": [], "writes": []})
    files.write_text(tmp_path / "params" / "base.yaml", projects.BASE)
    files.write_text(tmp_path / "params" / "x.yaml", "# Does it add up?\ncommon: {seed: 2}\n")
    assert dmnet(tmp_path, "run", "params/x.yaml").returncode == 0
    done = dmnet(tmp_path, "verify", "results/x")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "00_numbers  the same")
    (metrics,) = (tmp_path / "results" / "x").glob("*/*/metrics.json")
    files.write_json(metrics, {"total": 3.5})
    done = dmnet(tmp_path, "verify", "results/x")
    told = "00_numbers  metrics.json: total 3.5 | 3.0"
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, told)
