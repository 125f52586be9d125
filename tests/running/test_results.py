"""dmnet results: one table of all evaluations, in three formats."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dmnet_lib.core import files
from dmnet_lib.running import cli

Said = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two evaluated runs, wide and narrow."""
    root = tmp_path / "results"
    for name, score in (("wide", 0.2), ("narrow", 0.3)):
        row = {"AP": score, "protocol": "coco", "boxes": 7}
        metrics = {"strategies": {"global": row}, "main": ["global"], "split": "val", "images": 3}
        files.write_json(root / name / "06_evaluation" / "k" / "metrics.json", metrics)
        files.write_text(root / name / "06_evaluation" / "k" / "params.yaml", "seed: 0\n")
        listing = {"stages": {"06_evaluation": {"key": "k"}}}
        files.write_json(root / name / "latest.json", listing)
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(root))
    return root


def test_without_a_file_it_is_csv_on_the_terminal(said: Said) -> None:
    header, *rows = said("results")
    assert header.startswith("experiment,split,images,strategy")
    assert [row.split(",")[0] for row in rows] == ["narrow", "wide"]
    (row,) = json.loads("\n".join(said("results", "wide", "--json")))
    assert row["value"] == 0.2


@pytest.mark.parametrize(
    ("name", "read"),
    [("t.csv", pd.read_csv), ("t.json", pd.read_json), ("t.parquet", pd.read_parquet)],
)
def test_the_formats_hold_the_same(
    tmp_path: Path, said: Said, name: str, read: Callable[[Path], pd.DataFrame]
) -> None:
    assert said("results", "--out", tmp_path / name)[-1].endswith("2 rows of 2 experiments")
    said("results", "--out", tmp_path / name)  # what it made before is replaced
    table = read(tmp_path / name).set_index("experiment")
    assert table["value"].to_dict() == pytest.approx({"narrow": 0.3, "wide": 0.2}, abs=1e-12)
    assert table["images"].tolist() == [3, 3] and table["seed"].isna().all()


def test_what_cannot_be_written_is_refused_in_one_line(
    tmp_path: Path, refused: Callable[..., str], results: Path
) -> None:
    assert "did you mean wide" in refused("results", "wode")
    files.write_text(tmp_path / "keep.csv", "mine")
    assert "--overwrite" in refused("results", "--out", tmp_path / "keep.csv")
    assert (tmp_path / "keep.csv").read_text() == "mine"
    assert "say --format" in refused("results", "--out", tmp_path / "figures.xlsx")


@pytest.mark.parametrize("value", ['"0.5"', "[1]", "true", "NaN", "1e999", "{}"])
def test_a_damaged_figure_is_told_with_its_file(
    refused: Callable[..., str], results: Path, value: str
) -> None:
    path = results / "wide" / "06_evaluation" / "k" / "metrics.json"
    files.write_text(path, path.read_text().replace("0.2", value))
    assert "wide/06_evaluation/k/metrics.json: not " in refused("results", "wide")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("metrics.json", '"boxes": 7', '"boxes": "many"'),
        ("metrics.json", '"protocol": "coco"', '"protocol": []'),
        ("metrics.json", '"images": 3', '"images": 2.5'),
        ("metrics.json", '"protocol": "coco"', '"protocol": "coco", "per_class": [1]'),
        ("metrics.json", '"protocol": "coco"', '"protocol": "coco", "vs_global": {"low": "a"}'),
        ("metrics.json", '"protocol": "coco"', '"protocol": "coco", "AP_by_seed": 3'),
        ("params.yaml", "seed: 0", "seed: x"),
        ("params.yaml", "seed: 0", "more: 0"),
    ],
)
def test_what_is_no_evaluation_is_told_with_its_file(
    refused: Callable[..., str], results: Path, name: str, old: str, new: str
) -> None:
    path = results / "wide" / "06_evaluation" / "k" / name
    assert old in path.read_text()
    files.write_text(path, path.read_text().replace(old, new))
    assert name in refused("results", "wide")


def test_what_is_left_out_is_said(
    said: Said, refused: Callable[..., str], results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files.write_text(results / "wide" / "latest.json", "[]")
    assert cli.main(["results"]) == 0
    assert "left out, as not evaluated or damaged: wide" in capsys.readouterr().err
    files.write_text(results / "narrow" / "latest.json", "[]")
    assert "no evaluated experiment" in refused("results")


@pytest.mark.parametrize("given", [["--format", "parquet"], ["--out", "."], ["--format", "xml"]])
def test_wrong_commands_are_refused_before_anything_is_read(given: list[str]) -> None:
    assert cli.main(["results", *given]) == 2
