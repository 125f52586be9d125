"""dmnet verify: a changed metric, table or weight is named; another numeric class explains it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dmnet_lib.core import files
from dmnet_lib.running import cli


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two results folders of the same bytes."""
    home = tmp_path / "a" / "x"
    for stage in ("01_train", "02_score"):
        folder = home / stage / "k"
        files.write_json(folder / "metrics.json", {"AP": {"global": 0.25}, "counts": [1, 2]})
        files.write_json(folder / "provenance.json", {"numerics": "portable"})
        files.write_text(folder / "figures" / "curve.csv", "step,loss\n1,0.5\n")
        files.write_json(folder / "timings.json", {"seconds": 1.0})
    files.write_bytes(home / "01_train" / "k" / "net.safetensors", b"weights")
    stages = {stage: {"key": "k"} for stage in ("01_train", "02_score")}
    files.write_json(home / "latest.json", {"stages": stages})
    shutil.copytree(home, other := tmp_path / "b" / "x")
    files.write_json(other / "02_score" / "k" / "timings.json", {"seconds": 2.0})
    return home, other


def test_equal_results_pass_also_without_weights(
    pair: tuple[Path, Path], said: Callable[..., list[str]]
) -> None:
    home, other = pair
    assert said("verify", home, "--against", other) == ["01_train  the same", "02_score  the same"]
    (other / "01_train" / "k" / "net.safetensors").unlink()
    assert said("verify", home, "--against", other)[0] == "01_train  the same"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("metrics.json", '{"AP": {"global": 0.5}, "counts": [1, 3]}',
         "metrics.json: AP.global 0.25 | 0.5, counts.1 2 | 3"),
        ("figures/curve.csv", "step,loss\n1,0.6\n", "figures/curve.csv: other bytes"),
        ("figures/more.csv", "", "figures/more.csv: missing in {home}/01_train/k/figures"),
        ("net.safetensors", "others", "net.safetensors: other bytes"),
    ],
)  # fmt: skip
def test_what_was_changed_is_named(
    pair: tuple[Path, Path], name: str, content: str, told: str, capsys: pytest.CaptureFixture
) -> None:
    home, other = pair
    files.write_text(other / "01_train" / "k" / name, content)
    assert cli.main(["verify", str(home), "--against", str(other)]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [f"01_train  {told.format(home=home)}", "02_score  the same"]
    assert said.err == f"dmnet: {home}: not the same, in 01_train\n"


def test_another_numeric_class_explains_its_stage_and_later_ones(
    pair: tuple[Path, Path], said: Callable[..., list[str]], capsys: pytest.CaptureFixture
) -> None:
    home, other = pair
    files.write_json(other / "01_train" / "k" / "provenance.json", {"numerics": "NVIDIA H200"})
    files.write_json(other / "02_score" / "k" / "metrics.json", {"AP": {}, "counts": [1, 2]})
    found = said("verify", home, "--against", other)
    explained = "metrics.json: AP.global 0.25 | None; computed as portable | NVIDIA H200"
    assert found == ["01_train  the same", f"02_score  {explained}"]
    assert cli.main(["verify", str(home.parent), "--against", str(other)]) == 1
    assert "no finished experiment" in capsys.readouterr().err
