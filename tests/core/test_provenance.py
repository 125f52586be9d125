import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core import files, params, provenance
from dmnet_lib.core.files import InputError

BASE = """\
common:
  seed: 0  # [0, inf) of every random draw
  data_root: data  # folder
03_crops:
  rate: 1e-5  # (0, 1] step
"""
CELL = {"seed": 3, "data_root": "data", "rate": 1e-05, "something_else": object()}


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "base.yaml").write_text(BASE)
    for name in [name for name in os.environ if name.startswith("DMNET_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(tmp_path / "results"))
    monkeypatch.setattr(params, "BASE", tmp_path / "base.yaml")
    monkeypatch.setattr(files, "ROOT", tmp_path)
    yield tmp_path / "results"


def library(folder: Path, monkeypatch: pytest.MonkeyPatch, **sources: str) -> None:
    for name, source in {"__init__": "", **sources}.items():
        path = folder / "dmnet_lib" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    monkeypatch.setattr(provenance, "LIBRARY", folder / "dmnet_lib")


def finished(folder: Path, when: int) -> Path:
    files.write_text(folder / "params.yaml", "seed: 3\n")
    path = files.write_json(folder / "metrics.json", {})
    os.utime(path, (when, when))
    return folder


def test_modules_are_followed_through_functions_and_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    c = "from dmnet_lib.d import x\nfrom dmnet_lib.deep import e"
    deep = {"deep/__init__": "", "deep/c": c, "deep/e": "from dmnet_lib import a"}
    a = "def f():\n    from dmnet_lib.b import g\n    return g"
    library(tmp_path, monkeypatch, a=a, b="import dmnet_lib.deep.c", d="x = 1", unused="", **deep)
    closure = ["dmnet_lib", "dmnet_lib.a", "dmnet_lib.b", "dmnet_lib.d"]
    closure += ["dmnet_lib.deep", "dmnet_lib.deep.c", "dmnet_lib.deep.e"]
    assert provenance.code_modules("from dmnet_lib import a") == closure


@pytest.mark.parametrize(
    ("source", "same"),
    [
        ('"""New words."""\nx = 1  # why\n\n\ndef f():\n    return  x\n', True),
        ('"""Words."""\nx = 1\ndef f():\n    """More."""\n    return x\n', True),
        ('"""Words."""\nx = 2\ndef f():\n    return x\n', False),
        ('"""Words."""\nx = "1"\ndef f():\n    return x\n', False),
    ],
)
def test_only_code_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, same: bool
) -> None:
    library(tmp_path, monkeypatch, a='"""Words."""\nx = 1\ndef f():\n    return x\n')
    before = provenance.code_digest("import dmnet_lib.a")
    library(tmp_path, monkeypatch, a=source)
    assert (provenance.code_digest("import dmnet_lib.a") == before) is same


def test_the_real_library_can_be_followed() -> None:
    found = provenance.code_modules("from dmnet_lib.core import provenance")
    assert "dmnet_lib.core.files" in found
    library = (path.read_text() for path in provenance.LIBRARY.rglob("*.py"))
    assert not any(re.search(r"^ *from \.", source, re.MULTILINE) for source in library)


def test_the_data_fingerprint_sees_content_not_times(tmp_path: Path) -> None:
    image, text = tmp_path / "d" / "images" / "a.jpg", tmp_path / "d" / "annotations" / "a.txt"
    files.write_bytes(image, bytes(20000))
    files.write_text(text, "1" * 20000)
    first = provenance.data_fingerprint(tmp_path / "d")
    os.utime(image, (1, 1))
    for noise in (".DS_Store", "run.log", "images/Thumbs.db", "train.zip"):
        files.write_text(tmp_path / "d" / noise, "noise")
    assert provenance.data_fingerprint(tmp_path / "d") == first
    seen = {first}
    changed = [(image, bytes(19999) + b"x"), (image, b"x" + bytes(19999)), (image, bytes(20001))]
    changed += [(text, b"1" * 10000 + b"2" + b"1" * 9999), (image.with_name("b.jpg"), b"")]
    for path, data in changed:
        files.write_bytes(path, data)
        seen.add(provenance.data_fingerprint(tmp_path / "d"))
    for one in (image, image.with_name("c.bmp")):  # in the middle alone
        files.write_bytes(one, bytes(20000))
        seen.add(provenance.data_fingerprint(tmp_path / "d"))
        files.write_bytes(one, bytes(10000) + b"x" + bytes(9999))
        seen.add(provenance.data_fingerprint(tmp_path / "d"))
    assert len(seen) == 10


def test_begin_takes_only_the_declared_names(results: Path) -> None:
    stage = provenance.begin("03_crops", CELL | {"data_root": "<b>"})
    assert stage.params == {"seed": 3, "data_root": "<b>", "rate": 1e-05}
    assert stage.out == results / "demo" / "03_crops" / "interactive"
    assert "&lt;b&gt;" in stage._repr_html_()
    fewer = provenance.begin("03_crops", {"seed": 3, "rate": 1e-05})
    assert fewer.params == {"seed": 3, "rate": 1e-05}  # of the common ones those of its cell


def test_begin_twice_writes_the_same_bytes() -> None:
    found = []
    for _ in range(2):
        stage = provenance.begin("03_crops", dict(CELL))
        found.append({path.name: path.read_bytes() for path in stage.out.iterdir()})
        stage.write_metrics({"a": 1})  # begun again, a stage is unfinished
    first, second = found
    assert first == second
    assert sorted(first) == ["machine.json", "params.yaml", "provenance.json"]
    assert str(files.ROOT) not in "".join(map(str, first.values()))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"seed": 3, "data_root": "data"}, "03_crops: the parameters cell lacks rate"),
        (CELL | {"rate": 2.0}, "03_crops: rate: 2.0 is outside"),
        (CELL | {"seed": "3"}, "03_crops: seed: expected a whole number, got '3'"),
    ],
)
def test_an_edited_cell_is_checked(cell: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        provenance.begin("03_crops", cell)


def test_the_newest_of_interactive_and_latest_is_built_on(results: Path) -> None:
    kept = finished(results / "demo" / "01_points" / "abc", when=100)
    files.write_json(results / "demo" / "latest.json", {"stages": {"01_points": {"key": "abc"}}})
    with pytest.raises(InputError, match=r"run notebooks/01_points\.ipynb first"):
        provenance.begin("03_crops", dict(CELL)).needs("01_points")  # as a clone has it
    files.write_text(kept / "notebook.ipynb", "")
    assert provenance.begin("03_crops", dict(CELL)).needs("01_points") == kept
    here = finished(results / "demo" / "01_points" / "interactive", when=200)
    assert provenance.begin("03_crops", dict(CELL)).needs("01_points") == here
    finished(kept, when=300)
    assert provenance.begin("03_crops", dict(CELL)).needs("01_points") == kept


def test_under_the_runner_places_and_declared_values_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DMNET_EXPERIMENT", "x")
    monkeypatch.setenv("DMNET_STAGE_DIR", str(tmp_path / "work"))
    monkeypatch.setenv("DMNET_UPSTREAM", json.dumps({"01_points": str(tmp_path / "01" / "abc")}))
    monkeypatch.setenv("DMNET_RUN", json.dumps({"data": "f1", "declared": {"data_root": "data"}}))
    stage = provenance.begin("03_crops", CELL | {"data_root": "/disk/of/one/machine"})
    assert (stage.experiment, stage.out) == ("x", tmp_path / "work")
    assert stage.needs("01_points") == tmp_path / "01" / "abc"
    assert stage.params["data_root"] == "/disk/of/one/machine"
    assert params.parse((stage.out / "params.yaml").read_text())["data_root"] == "data"
    written = files.read_json(stage.out / "provenance.json")
    assert (written["data"], written["upstream"]) == ("f1", {"01_points": "abc"})
    assert "numpy" in written["packages"]


def test_metrics_are_plain_rounded_and_sorted() -> None:
    stage = provenance.begin("03_crops", dict(CELL))
    metrics = {"b": np.float32(0.1), "a": [np.int64(2), -1e-9], "c": {"d": None, "e": np.bool_(1)}}
    stage.write_metrics(metrics)
    text = (stage.out / "metrics.json").read_text()
    assert json.loads(text) == {"a": [2, 0.0], "b": 0.1, "c": {"d": None, "e": True}}
    assert text.index('"a"') < text.index('"b"')
    assert "-0.0" not in text


@pytest.mark.parametrize("value", [float("nan"), np.float64("inf")])
def test_a_metric_that_is_no_value_is_refused_by_its_name(value: object) -> None:
    with pytest.raises(ValueError, match=r"metrics\.crops\.per_image\[1\] is"):
        provenance.begin("03_crops", dict(CELL)).write_metrics({"crops": {"per_image": [1, value]}})
