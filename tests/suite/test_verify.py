"""dmnet verify runs a small project's stages again, and names what was changed since."""

import os
import subprocess
import sys
from pathlib import Path

import projects

from dmnet_lib.core import files

BEGIN = 'stage = provenance.begin("{}", globals())\nstage.write_metrics({{"total": 3.0}})'
STAGES = ("00_numbers", "01_others")


def dmnet(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    told = {n: value for n, value in os.environ.items() if not n.startswith("DMNET_")}
    command = [sys.executable, "-m", "dmnet_lib.running.cli", *arguments]
    told |= {"PYTHONPATH": str(files.SOURCES)}
    return subprocess.run(command, cwd=root, env=told, capture_output=True, text=True, check=False)


def test_stages_run_again_elsewhere_and_a_changed_metric_is_found(tmp_path: Path) -> None:
    project = projects.Project(tmp_path)
    for name in STAGES:
        cells = [projects.START, projects.COMMON, BEGIN.format(name)]
        project.notebook(name, cells, {"needs": [], "writes": []})
    files.write_text(tmp_path / "params" / "base.yaml", projects.BASE)
    files.write_text(tmp_path / "params" / "x.yaml", "# Does it add up?\ncommon: {seed: 2}\n")
    assert dmnet(tmp_path, "run", "params/x.yaml").returncode == 0
    (metrics,) = (tmp_path / "results" / "x").glob("01_others/*/metrics.json")
    files.write_json(metrics, {"total": 3.5})
    done = dmnet(tmp_path, "verify", "results/x")
    told = ["00_numbers  the same", "01_others  metrics.json: total 3.5 | 3.0"]
    assert (done.returncode, done.stdout.splitlines()[-2:]) == (1, told)
