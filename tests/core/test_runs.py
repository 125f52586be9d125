"""A run that looks finished, opened by notebooks: what they take, and what does not go together."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dmnet_lib.core import files, params, provenance, result_folder, runs
from dmnet_lib.core.files import InputError
from dmnet_lib.core.provenance import Stage

STAGES = result_folder.STAGES
DATASET, DENSITY, MCNN, CROPS, _, DETECTION, EVALUATION, COMPARISON = STAGES
KNOWN = params.declared()
NARROW = {"data_root": "data/own", "classes": ["car", "bus"], "sigma_px": 6.0}
Values = Mapping[str, params.Value]


def cells(stage: str) -> dict[str, params.Value]:
    """What a notebook's parameters cell assigns, as it stands in the project."""
    names = provenance.parameter_names(files.SOURCES / "notebooks" / f"{stage}.ipynb")
    own = params.of_stage(KNOWN, stage, names)
    return {"experiment": "demo"} | {name: one.default for name, one in own.items()}


def finish(home: Path, changed: Values, *, age_s: float = 3600) -> Path:
    """Write a run that looks like what the runner leaves; its keys are the stages' numbers."""
    for stage in STAGES:
        folder, known = home / stage / f"key{stage[:2]}", cells(stage)
        values = {n: changed.get(n, v) for n, v in known.items() if n != "experiment"}
        files.write_text(folder / "params.yaml", params.dump(values))
        needs = {need: f"key{need[:2]}" for need in runs._about(stage)["needs"]}
        files.write_json(folder / "provenance.json", {"upstream": needs})
        files.write_text(folder / "notebook.ipynb", "")
        metrics = files.write_json(folder / "metrics.json", {"AP": 0.123456, "objects": 7})
        then = metrics.stat().st_mtime - age_s
        os.utime(metrics, (then, then))
    listed = {stage: {"key": f"key{stage[:2]}"} for stage in STAGES}
    files.write_json(home / "latest.json", {"stages": listed})
    return home


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in [name for name in os.environ if name.startswith("DMNET_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(tmp_path))
    monkeypatch.setattr(runs, "_kernel", {"cell": runs.DEFAULT, "choice": ""})
    finish(tmp_path / "demo", {})
    finish(tmp_path / "narrow", NARROW)
    return tmp_path


def by_hand(
    stage: str,
    metrics: Mapping[str, object] = {"AP": 0.123456, "objects": 7},
    **changed: params.Value,
) -> Stage:
    """Run a notebook by hand, with some parameters."""
    begun = provenance.begin(stage, cells(stage) | changed)
    begun.write_metrics(metrics)
    return begun


def injected(stage: str, **given: object) -> dict[str, object]:
    """What a notebook's cells hold once papermill put its own behind the parameters."""
    lines = [f"globals()[{name!r}] = {value!r}" for name, value in given.items()]
    history = ["", "\n".join(["# Parameters", *lines]), "stage = provenance.begin(…)"]
    return cells(stage) | given | {"In": history}


# Any run.


def test_a_run_gives_its_parameters_and_its_products(
    results: Path, capsys: pytest.CaptureFixture
) -> None:
    values = cells(CROPS) | {"experiment": "narrow", "padding_px": 20}
    stage = provenance.begin(CROPS, values)
    assert stage.experiment == "narrow"
    assert stage.upstream == {s: results / "narrow" / s / f"key{s[:2]}" for s in STAGES[:3]}
    assert stage.out == results / "narrow" / CROPS / "interactive"
    assert (values["classes"], values["data_root"]) == (["car", "bus"], "data/own")
    (line,) = capsys.readouterr().out.splitlines()
    assert line == (
        "run narrow: scenes in data/own; builds on 00_dataset (key00, 1 hour old), "
        "01_density_ground_truth (key01, 1 hour old), 02_mcnn_training (key02, 1 hour old); "
        "differs from the run in padding_px: 20 (own: 12); "
        f"writes {results}/narrow/{CROPS}/interactive"
    )


def test_a_stage_that_was_not_run_takes_the_run_s_changes(results: Path) -> None:
    home = results / "narrow"
    shutil.rmtree(home / CROPS)
    changed = {
        "common": {"classes": ["car", "bus"], "data_root": "data/own"},
        CROPS: {"min_area_px": 9},
    }
    listed = {stage: {"key": f"key{stage[:2]}"} for stage in STAGES[:3]}
    files.write_json(home / "latest.json", {"stages": listed, "changed": changed})
    stage = provenance.begin(CROPS, cells(CROPS) | {"experiment": "narrow"})
    assert (stage.params["classes"], stage.params["min_area_px"]) == (["car", "bus"], 9)


def test_a_new_name_begins_a_run_whose_stages_share_what_is_common(results: Path) -> None:
    by_hand(DATASET, experiment="new", classes="bus", examples=2)
    assert by_hand(DENSITY, experiment="new").params["classes"] == ["bus"]
    assert by_hand(DENSITY, experiment="new").params["examples"] == 3


def test_another_run_is_chosen_until_the_cell_names_one() -> None:
    runs.choose("narrow")
    assert by_hand(DATASET).experiment == "narrow"
    assert by_hand(DATASET).experiment == "narrow"
    assert by_hand(DATASET, experiment="other").experiment == "other"
    assert by_hand(DATASET).experiment == "demo"


def test_runs_are_listed_that_have_what_a_stage_builds_on(results: Path) -> None:
    (results / "narrow" / MCNN / "key02" / "notebook.ipynb").unlink()
    assert runs.listed(DENSITY) == ["demo", "narrow"]
    assert runs.listed(CROPS) == ["demo"]


@pytest.mark.parametrize(
    ("experiment", "left", "message"),
    [
        ("narow", (), "narow: no such run; did you mean narrow?"),
        ("../demo", (), "experiment: '../demo' may hold letters, digits, _ and - only"),
        ("demo", (), "03_density_crops builds on 02_mcnn_training, of which .*demo has figures and "
         "metrics alone: `dmnet run params/demo.yaml --until 02_mcnn_training` makes them, or run "
         "notebook 02_mcnn_training first"),
        ("narrow", (MCNN,), "narrow has no results: run notebook 02_mcnn_training first"),
    ],
)  # fmt: skip
def test_what_is_missing_says_what_makes_it(
    results: Path, experiment: str, left: tuple[str, ...], message: str
) -> None:
    (results / "demo" / MCNN / "key02" / "notebook.ipynb").unlink()
    for stage in left:
        shutil.rmtree(results / "narrow" / stage)
    listed = {s: {"key": f"key{s[:2]}"} for s in STAGES if s not in left}
    files.write_json(results / "narrow" / "latest.json", {"stages": listed})
    with pytest.raises(InputError, match=message):
        provenance.begin(CROPS, cells(CROPS) | {"experiment": experiment})
    assert not [*results.glob(f"*/{CROPS}/interactive")]


# No mixtures.

FIRST = r"run notebooks? {} first"
MIXTURES = [  # stages run by hand before with other values, the stage, its values, what it says
    ("another split", [], CROPS, {"test_split": "val"},
     "03_density_crops has test_split: val, but 00_dataset .key00, 1 hour old. has test_split: "
     "test-dev: " + FIRST.format("00_dataset and 01_density_ground_truth and 02_mcnn_training")),
    ("other classes", [], CROPS, {"classes": "car"},
     "has classes: .car., but 00_dataset .* has classes: .."),
    ("other data", [], CROPS, {"data_root": "data/others"},
     "has data_root: data/others, but 00_dataset .* has data_root: data/scenes"),
    ("another dataset", [], DENSITY, {"dataset": "coco", "data_root": "data/coco"},
     "has dataset: coco, but 00_dataset .* has dataset: scenes"),
    ("another layout", [], MCNN, {"layout": "a.json, b"}, "has layout: a.json, b, but 00_dataset"),
    ("another seed", [], DETECTION, {"seed": 1},
     "has seed: 1, but 02_mcnn_training .* has seed: 0: " + FIRST.format("02_mcnn_training")),
    ("another profile", [], CROPS, {"profile": "official"}, "but 01_density_ground_truth .* has"),
    ("narrow points, network of wide ones", [(DENSITY, {"sigma_px": 6.0})], CROPS, {},
     "03_density_crops builds on 02_mcnn_training .key02, 1 hour old., which was made from "
     "01_density_ground_truth with sigma_px: 15.0; it has sigma_px: 6.0 now .interactive, just "
     "made, taken as newer than key01.: run notebook 02_mcnn_training first, or remove "
     ".*demo/01_density_ground_truth/interactive to return to the run's own"),
    ("narrow points, then what is made of a network of wide ones", [(DENSITY, {"sigma_px": 6.0})],
     EVALUATION, {}, FIRST.format("02_mcnn_training and 03_density_crops and 05_fused_detection")),
    ("points that were narrow by hand",
     [(DENSITY, {"sigma_px": 6.0}), (MCNN, {}), (DENSITY, {"sigma_px": 9.0})], CROPS, {},
     "02_mcnn_training .interactive, .*, which was made from 01_density_ground_truth with "
     "sigma_px: 6.0; it has sigma_px: 9.0 now"),
    ("a network by hand, and points that the runner made since",
     [(DENSITY, {"sigma_px": 6.0}), (MCNN, {}), ("remove", DENSITY)], CROPS, {},
     "02_mcnn_training .interactive, .* which was made from 01_density_ground_truth with sigma_px: "
     "6.0; it has sigma_px: 15.0 now .key01, 1 hour old.: run notebook 02_mcnn_training first, or "
     "remove .*demo/02_mcnn_training/interactive to return"),
    ("the same values, other results", [(DENSITY, {"metrics": {"objects": 8}})], CROPS, {},
     "made from 01_density_ground_truth of other content; it is now .interactive"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "stage", "changed", "message"),
    [case[1:] for case in MIXTURES],
    ids=[case[0] for case in MIXTURES],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(
    results: Path, before: list[tuple[str, dict]], stage: str, changed: dict, message: str
) -> None:
    for earlier, values in before:
        if earlier == "remove":
            shutil.rmtree(results / "demo" / values / "interactive")
        else:
            by_hand(earlier, **values)
    kept = by_hand(COMPARISON)  # of whatever is there
    assert kept.experiment == "demo"
    there = snapshot(results)
    with pytest.raises(InputError, match=message) as told:
        provenance.begin(stage, cells(stage) | changed)
    assert "\n" not in str(told.value)
    assert snapshot(results) == there


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_goes_together_is_taken_whoever_made_it(results: Path) -> None:
    """The same by hand as by the runner; then all that follows from another value, in order."""
    by_hand(DATASET, {"AP": 0.1234561, "objects": 7}, examples=2)
    assert provenance.begin(CROPS, cells(CROPS)).upstream[DATASET].name == "interactive"
    by_hand(DENSITY, sigma_px=6.0)
    by_hand(MCNN)
    by_hand(CROPS)
    record = files.read_json(results / "demo" / CROPS / "interactive" / "provenance.json")
    assert record["upstream_parameters"][DENSITY]["sigma_px"] == 6.0
    assert re.fullmatch("[0-9a-f]{12}", record["upstream"][DENSITY])
    by_hand(DETECTION, device="cpu")
    assert provenance.begin(EVALUATION, cells(EVALUATION)).needs(DETECTION).name == "interactive"


def test_data_that_changed_is_another(results: Path) -> None:
    for home, fingerprint in (("key00", "a"), ("interactive", "b")):
        if home == "interactive":
            by_hand(DATASET)
        files.write_json(
            results / "demo" / DATASET / home / "dataset.json", {"fingerprint": fingerprint}
        )
    with pytest.raises(InputError, match=r"01_density.* was made from 00_dataset of other content"):
        provenance.begin(MCNN, cells(MCNN))


def test_further_seeds_are_taken_with_the_first(results: Path) -> None:
    home, name = results / "demo", f"{DETECTION} seed 1"
    shutil.copytree(home / DETECTION / "key05", home / DETECTION / "other")
    latest = files.read_json(home / "latest.json")
    files.write_json(home / "latest.json", {"stages": latest["stages"] | {name: {"key": "other"}}})
    stage = provenance.begin(EVALUATION, cells(EVALUATION) | {"seeds": 2})
    assert [path.name for path in stage.needs_of_seeds(DETECTION, 2)] == ["key05", "other"]


# What papermill puts behind the parameters.


def test_what_is_given_counts_even_where_it_is_the_default() -> None:
    stage = provenance.begin(DENSITY, injected(DENSITY, experiment="narrow", sigma_px=15))
    assert (stage.params["sigma_px"], stage.params["classes"]) == (15.0, ["car", "bus"])


def test_a_file_s_sections_are_taken_and_told(capsys: pytest.CaptureFixture) -> None:
    given = {
        "common": {"seed": 0},
        MCNN: {"steps": 7, "weight_decay": "1e-6"},
        CROPS: {"padding_px": 3},
    }
    values = injected(MCNN, **given, batch_size=4)
    stage = provenance.begin(MCNN, values)
    assert (stage.params["steps"], stage.params["weight_decay"]) == (7, 1e-6)
    assert (values["steps"], values["batch_size"]) == (7, 4)
    assert "takes common and 02_mcnn_training of the parameter file" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sigma": 6}, "01_density_ground_truth.sigma: no such parameter; did you mean sigma_px?"),
        ({"experimnt": "x"}, "experimnt: no such parameter; did you mean experiment?"),
        ({"seed": 1}, "seed: no such parameter; it belongs to common"),
        (
            {DENSITY: {"sigma": 6}},
            "parameter file: 01_density_ground_truth.sigma: no such parameter",
        ),
        ({"03_density": {}}, "parameter file: 03_density: no such section; did you mean 03_dens"),
        ({"sigma_px": "wide"}, "01_density_ground_truth: sigma_px: expected a number, got 'wide'"),
    ],
)
def test_a_name_that_is_unknown_is_refused(results: Path, given: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        provenance.begin(DENSITY, injected(DENSITY, **given))
    assert not (results / "demo" / DENSITY / "interactive").exists()
