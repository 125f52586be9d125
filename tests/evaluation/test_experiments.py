"""Experiments: what differed between finished ones, and what it did, read from their folders."""

from pathlib import Path

import pytest

from dmnet_lib.core import files, params
from dmnet_lib.core.files import InputError
from dmnet_lib.core.provenance import Stage
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.evaluation import experiments

ROW = {"AP": 0.25, "AP50": 0.5, "APs": 0.1, "APm": None, "AR500": 0.4, "megapixels": 0.3}


def finish(results: Path, name: str, values: dict[str, dict], **scores: float | None) -> None:
    """Leave an experiment's folder with these parameters by stage and AP by strategy."""
    for stage, given in values.items():
        files.write_text(results / name / stage / "k1" / "params.yaml", params.dump(given))
    if scores:
        rows = {strategy: ROW | {"AP": value} for strategy, value in scores.items()}
        metrics = {"strategies": rows, "main": list(rows), "split": "test-dev", "images": 3}
        files.write_json(results / name / "06_evaluation" / "k1" / "metrics.json", metrics)
    stages = {path.name: {"key": "k1"} for path in sorted((results / name).glob("*_*"))}
    files.write_json(results / name / "latest.json", {"stages": stages})


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two evaluated experiments that differ in sigma, and one that was only begun."""
    for name, sigma, gain in (("narrow", 0.5, 0.1), ("wide", 15, 0.0)):
        values = {"01_density": {"sigma_px": sigma, "neighbours": 3}, "06_evaluation": {"seed": 0}}
        finish(tmp_path, name, values, **{"global": 0.2, "density mcnn": 0.2 + gain})
    finish(tmp_path, "begun", {"01_density": {"sigma_px": 15}})
    return tmp_path


def test_no_experiment_gives_empty_tables(tmp_path: Path):
    assert experiments.load(tmp_path) == {}
    assert experiments.parameter_differences({}).empty
    assert experiments.split_names("") == ()
    assert experiments.split_names(" demo, wide ,,") == ("demo", "wide")


def test_all_evaluated_experiments_are_loaded_by_name(results: Path):
    found = experiments.load(results)
    assert sorted(found) == ["narrow", "wide"]
    assert found["wide"].folder("01_density") == results / "wide" / "01_density" / "k1"
    assert list(experiments.load(results, ("wide",))) == ["wide"]


def test_an_unknown_name_is_answered_with_the_nearest(results: Path):
    with pytest.raises(InputError, match="no finished experiment 'wode'; did you mean wide"):
        experiments.load(results, ("narrow", "wode"))


def test_a_named_experiment_without_an_evaluation_is_not_left_out_silently(results: Path):
    with pytest.raises(InputError, match="begun: 06_evaluation was not run"):
        experiments.load(results, ("wide", "begun"))


@pytest.mark.parametrize("name", ["latest.json", "06_evaluation/k1/metrics.json"])
@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"stages": 3}'])
def test_a_damaged_experiment_is_named_only_where_it_is_asked_for(
    results: Path, name: str, text: str
):
    files.write_text(results / "wide" / name, text)
    assert list(experiments.load(results)) == ["narrow"]
    assert list(experiments.load(results, ("narrow",))) == ["narrow"]
    with pytest.raises(InputError, match=rf"wide/{name}: (damaged|not valid JSON)"):
        experiments.load(results, ("wide",))


def test_the_running_experiment_counts_with_the_folders_it_builds_on(results: Path):
    finish(results, "running", {"01_density": {"sigma_px": 1}}, **{"global": 0.2})
    upstream = ResultFolder.read(results / "running").folders
    (results / "running" / "latest.json").unlink()
    own = Stage("07_compare", "running", results, results / "x", {}, upstream)
    found = experiments.load(results, own=own)
    assert list(found) == ["narrow", "running", "wide"]
    assert found["running"].folders == upstream


def test_only_parameters_that_differ_are_shown(results: Path):
    table = experiments.parameter_differences(experiments.load(results))
    assert table.index.tolist() == ["01_density.sigma_px"]
    assert table.loc["01_density.sigma_px"].tolist() == [0.5, 15]
    assert experiments.parameter_differences(experiments.load(results, ("wide",))).empty


def test_a_parameter_that_one_lacks_differs_and_a_common_one_is_named_once(results: Path):
    density = {"neighbours": 3, "beta": 0.3, "seed": 1}
    finish(
        results, "other", {"01_density": density, "06_evaluation": {"seed": 1}}, **{"global": 0.1}
    )
    table = experiments.parameter_differences(experiments.load(results, ("wide", "other")))
    assert table.index.tolist() == ["01_density.beta", "01_density.sigma_px", "common.seed"]


def test_those_of_a_sweep_count_only_where_they_are_named(results: Path):
    files.write_json(results / "wide-sweep" / "sweep.json", {"runs": [{"experiment": "wide"}]})
    assert experiments.swept(results) == {"wide-sweep", "wide"}
    assert list(experiments.load(results)) == ["narrow"]
    assert list(experiments.load(results, ("wide",))) == ["wide"]
    assert list(experiments.load(results, sweeps=True)) == ["narrow", "wide"]
    upstream = ResultFolder.read(results / "wide").folders
    own = Stage("07_compare", "wide", results, results / "x", {}, upstream)
    assert list(experiments.load(results, own=own)) == ["narrow", "wide"]


def test_budget_tables_are_those_that_are_there(results: Path):
    path = results / "wide" / "06_evaluation" / "k1" / "figures" / "budgets.csv"
    files.write_text(path, "strategy,AP\nglobal,0.1\n")
    tables = experiments.budgets(experiments.load(results))
    assert {name: table["AP"].to_dict() for name, table in tables.items()} == {
        "wide": {"global": 0.1}
    }
