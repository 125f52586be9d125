"""Sweeps on made-up notebooks: what is refused, what runs, what is reused, and what is left."""

import re
from pathlib import Path

import projects
import pytest
from projects import BASE, COMMON, START

from dmnet_lib.core import files, params
from dmnet_lib.core.files import InputError
from dmnet_lib.evaluation import experiments
from dmnet_lib.reporting.pages.sweep import write_page
from dmnet_lib.running import cli, output, sweeps
from dmnet_lib.running.sweep_values import Sweep, changed, parse

pytestmark = pytest.mark.usefixtures("no_environment")
PARAMETERS = f"""{BASE}\
00_numbers:
  count: 3  # [1, 10] numbers
  steps: 5  # [1, 10] steps
03_density_crops:
  threshold: calibrated  # {{calibrated}} or (0, 1] objects in a window
  target: 0.9  # (0, 1] share of objects; only with threshold: calibrated
  steps: 5  # [1, 10] steps; 2 goes wrong
06_evaluation:
  budgets: [6, 2]  # crops
  level: 0.95  # (0, 1) of intervals
  max_detections: 500  # [1, inf) boxes of an image that count
07_compare:
  names: ""  # others
"""
STAGES = {
    "00_numbers": [
        COMMON + "count: int = 3\nsteps: int = 5",
        'stage = provenance.begin("00_numbers", globals())',
        "stage.write_metrics({})",
    ],
    "03_density_crops": [
        COMMON + 'threshold: float | str = "calibrated"\ntarget: float = 0.9\nsteps: int = 5',
        'stage = provenance.begin("03_density_crops", globals())',
        'if steps == 2: raise files.InputError("two steps lead nowhere")',
        'stage.write_metrics({"AP": steps / 10})',
    ],
    "06_evaluation": [
        COMMON + "budgets: list = [6, 2]\nlevel: float = 0.95\nmax_detections: int = 500",
        'stage = provenance.begin("06_evaluation", globals())',
        'ap = files.read_json(stage.needs("03_density_crops") / "metrics.json")["AP"]',
        'row = {"AP": ap, "intervals": {"AP": [ap - 0.01, ap + 0.01]}, "containment_rate": 0.9}',
        'row |= {"crops_per_image": 6.0, "megapixels": 1.0, "per_class": {"car": {"AP": ap}}}',
        'metrics = {"strategies": {"global": row}, "main": ["global"], "order": ["global"]}',
        'stage.write_metrics(metrics | {"split": "val", "images": 3, "headline": {"AP": ap}})',
    ],
    "07_compare": [
        COMMON + 'names: str = ""',
        'stage = provenance.begin("07_compare", globals())',
        "stage.write_metrics({})",
    ],
}
UPSTREAM = {"03_density_crops": ["00_numbers"], "06_evaluation": ["03_density_crops"]}


class Project(projects.Project):
    """A project of these notebooks, and sweeps of its experiment x."""

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def base(self) -> dict[str, Path]:
        return {"base_path": self.root / "base.yaml"}

    def parse(self, text: str, *settings: str, changes: str = "") -> Sweep:
        return parse(self.experiment(changes), text, settings, **self.base)

    def run(self, text: str, **given: object) -> dict[str, str]:
        self.said.clear()
        return sweeps.run(self.parse(text), **{"say": self.said.append, **self.places, **given})

    def told(self, stage: str) -> list[str]:
        """Return what was said of a stage: experiment and what happened."""
        start = rf"(\S+): (?:\d/\d )?{stage}  \w{{12}}  (.*)"
        lines = [re.match(start, line) for line in self.said]
        return [f"{line[1]} {line[2]}" for line in lines if line]


def make(root: Path) -> Project:
    project = Project(root)
    files.write_text(root / "base.yaml", PARAMETERS)
    for name, cells in STAGES.items():
        about = {"needs": UPSTREAM.get(name, []), "writes": [], "reads_results": name[:2] == "07"}
        project.notebook(name, (START, *cells), about)
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make(tmp_path)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, str]]:
    """A sweep of three values, one of which fails, and what failed."""
    project = make(tmp_path_factory.mktemp("sweep"))
    return project, project.run("03_density_crops.steps=5,2,7")


# What is refused, before anything runs.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps=1", "expected SECTION.NAME=VALUE"),
        ("03_density_crops.steps=", "expected SECTION.NAME=VALUE"),
        ("03_density_crop.steps=1", "no such section; did you mean 03_density_crops"),
        ("03_density_crops.step=1", "no such parameter; did you mean steps"),
        ("03_density_crops.steps=1,11", "11 is outside"),
        ("03_density_crops.steps=1,two", "expected a whole number, got 'two'"),
        ("03_density_crops.steps=1,1", "would both be x-03_steps-1"),
        ("06_evaluation.budgets=a b,a_b", "would both be x-budgets-a_b"),
        ("03_density_crops.steps={a: 1}", "got a mapping"),
        ("03_density_crops.steps=1 --set 03_density_crops.steps=3", "is what is swept"),
        ("common.seed=1 --set 00_numbers.count=3,4", "takes one value"),
        ("common.seed=1 --set 00_numbers.count=x", "--set 00_numbers.count: expected a whole"),
    ],
)
def test_what_cannot_be_swept_or_set_is_one_line(project, text, message) -> None:
    with pytest.raises(InputError, match=message) as raised:
        project.parse(*text.split(" --set "))
    assert "\n" not in str(raised.value)
    assert not project.results.exists()


def test_an_experiment_of_the_sweeps_name_is_not_overwritten(project) -> None:
    files.write_json(project.results / "x-03_steps" / "latest.json", {"stages": {}})
    with pytest.raises(InputError, match="is an experiment of that name"):
        project.run("03_density_crops.steps=1")


# What is run.


def test_values_are_a_yaml_list_and_text_stays_text(project) -> None:
    for given in ('"6, 2",12', "[6,2],[12]"):
        assert project.parse(f"06_evaluation.budgets={given}").values == ([6, 2], [12])
    values = project.parse("03_density_crops.threshold=1e-1,1,calibrated").values
    assert values == (0.1, 1.0, "calibrated")
    assert project.parse("common.data_root=010,yes").values == ("010", "yes")


@pytest.mark.parametrize("given", ["7", "6,7", '"6, 7"', "[6,7]", "[6, 2x]"])
def test_a_list_is_set_with_brackets_or_without(project, given: str) -> None:
    sweep = project.parse("common.seed=1", f"06_evaluation.budgets={given}")
    entries = given.strip('[]"').replace(" ", "").split(",")
    expected = [int(one) if one.isdecimal() else one for one in entries]
    assert sweep.runs[0].sections["06_evaluation"]["budgets"] == expected


def test_names_are_safe_and_tell_sections_of_one_name_apart(project) -> None:
    names = [one.name for one in project.parse("03_density_crops.threshold=0.02,0.08").runs]
    assert names == ["x-threshold-0_02", "x-threshold-0_08"]
    assert project.parse("00_numbers.steps=1").name == "x-00_steps"
    assert project.parse("06_evaluation.budgets=../a").runs[0].name == "x-budgets-a"


def test_a_parameter_that_another_overrules_takes_it_along_and_says_so(project) -> None:
    fixed = "03_density_crops.threshold=0.2"
    sweep = project.parse("03_density_crops.target=0.2,0.4", fixed)
    assert all(one.sections["03_density_crops"]["threshold"] == "calibrated" for one in sweep.runs)
    assert "target counts only with threshold: calibrated, which is set" in sweep.notes[0]
    assert project.parse("03_density_crops.target=0.2").notes == ()


def test_what_a_value_lets_do_nothing_is_left_out_of_its_experiment(project) -> None:
    text = "03_density_crops.threshold=calibrated,0.2"
    chosen, fixed = project.parse(text, "03_density_crops.target=0.5").runs
    assert chosen.changed["03_density_crops"] == {"target": 0.5}
    assert fixed.changed["03_density_crops"] == {"threshold": 0.2}
    with pytest.raises(InputError, match="target counts only with threshold: calibrated; remove"):
        project.parse("03_density_crops.threshold=0.1,0.2", "03_density_crops.target=0.5")


def test_a_parameter_that_counts_for_nothing_is_refused() -> None:
    onnx = params.BASE.parent / "visdrone_offtheshelf.yaml"
    for text in ("05_fused_detection.steps=1", "00_dataset.scenes_seed=1"):
        with pytest.raises(InputError, match=r"counts (not|only) with .*, as visdrone_offtheshelf"):
            parse(onnx, text)


def test_a_value_is_a_parameter_file_that_gives_the_same_experiment(project) -> None:
    changes = "00_numbers: {count: 4, steps: 2}\n06_evaluation: {budgets: '7, 1'}\n"
    settings = ("00_numbers.steps=5", "common.seed=3")
    sweep = project.parse("03_density_crops.threshold=0.1,0.2", *settings, changes=changes)
    for one in sweep.runs:
        text = params.text_of(one.question, one.changed)
        path = files.write_text(project.root / f"{one.name}.yaml", text)
        read = params.load(path, **project.base)
        assert (read.name, read.question) == (one.name, one.question)
        assert (read.sections, read.changed) == (one.sections, one.changed)


def test_one_setting_is_called_as_a_sweep_calls_it_and_sets_what_it_needs(project) -> None:
    settings = ["03_density_crops.threshold=0.2"]
    one, notes = changed(project.experiment(), settings, **project.base)
    sweep = project.parse(*settings)
    assert notes == sweep.notes and [one.sections] == [run.sections for run in sweep.runs]
    settings += ["common.seed=3"]
    one, _ = changed(project.experiment(), settings, **project.base)
    assert one.name == "x-threshold-0_2-seed-3"
    assert changed(project.experiment(), settings, "mine", **project.base)[0].name == "mine"
    for name in ("x", "base"):
        with pytest.raises(InputError, match="is another parameter file's"):
            changed(project.experiment(), settings, name, **project.base)


def test_a_dry_run_tells_each_stage_once_and_leaves_nothing(project) -> None:
    assert project.run("03_density_crops.steps=5,7", dry_run=True) == {}
    assert [line.split(" ", 1)[1] for line in project.told("00_numbers")] == [
        "would run: not run before", "cached: reused from experiment x-03_steps-5",
    ]  # fmt: skip
    assert len([line for line in project.told("06_evaluation") if "would run" in line]) == 2
    assert not project.results.exists()


def test_common_stages_run_once_and_a_failure_stops_no_other(done) -> None:
    project, failed = done
    assert project.told("00_numbers")[0].endswith("runs: not run before")
    taken = [line for line in project.told("00_numbers") if "reused from experiment" in line]
    assert len(taken) == 2
    assert list(failed) == ["x-03_steps-2"]
    assert "03_density_crops stopped: two steps lead nowhere" in failed["x-03_steps-2"]
    found = experiments.load(project.results, sweeps=True)
    assert list(found) == ["x-03_steps-5", "x-03_steps-7"]
    assert not any("07_compare" in line for line in project.said)


def test_a_common_stage_that_failed_is_not_tried_again_for_the_first(project) -> None:
    sweep = project.parse("06_evaluation.budgets=6,8", "03_density_crops.steps=2")
    failed = sweeps.run(sweep, say=project.said.append, **project.places)
    assert list(failed) == ["x-budgets-6", "x-budgets-8"]
    assert len(project.told("03_density_crops")) == 2


def test_the_sweep_leaves_its_table_figure_and_page(done) -> None:
    project, _ = done
    home = project.results / "x-03_steps"
    about = files.read_json(home / "sweep.json")
    assert [(row["value"], row["AP"]) for row in about["table"]] == [("5", 0.5), ("7", 0.7)]
    assert about["parameter"] == "03_density_crops.steps"
    assert (home / "figures" / "sweep.csv").read_text().startswith("strategy,value")
    page = (home / "report.html").read_text()
    assert 'href="../x-03_steps-7/report.html"' in page
    assert "x-03_steps-2 failed" in page
    assert "`" not in page
    assert {path.name for path in home.glob("*.yaml")} == {
        f"x-03_steps-{value}.yaml" for value in (2, 5, 7)
    }


def test_the_index_lists_the_sweep_and_notebooks_leave_it_out(done) -> None:
    project, _ = done
    assert "x-03_steps/report.html" in (project.results / "index.html").read_text()
    assert experiments.load(project.results) == {}
    assert list(experiments.load(project.results, ("x-03_steps-7",))) == ["x-03_steps-7"]
    swept = experiments.swept(project.results)
    assert swept == {"x-03_steps", *(f"x-03_steps-{value}" for value in (2, 5, 7))}


def test_a_page_is_written_again_the_same(done) -> None:
    home = done[0].results / "x-03_steps"
    before = (home / "report.html").read_bytes()
    assert write_page(home).read_bytes() == before


def test_another_sweep_runs_in_two_processes_and_takes_over_what_is_finished(done, capfd) -> None:
    project, _ = done
    assert project.run("06_evaluation.budgets=6,8", jobs=2, say=output.Say()) == {}
    project.said += capfd.readouterr().out.splitlines()
    for stage in ("00_numbers", "03_density_crops"):
        assert all("cached: reused from experiment" in line for line in project.told(stage)[:2])
    assert len([line for line in project.told("06_evaluation") if " runs: " in line]) == 2
    assert files.read_json(project.results / "x-budgets" / "sweep.json")["failed"] == {}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--jobs", "2"], "--jobs goes with --sweep"),
        (["--sweep", "common.seed=1", "--until", "00_dataset"], "do not go with --sweep"),
        (["--name", "a b"], "--name a b: expected letters"),
    ],
)
def test_a_wrong_command_is_one_line(arguments, told, capsys) -> None:
    assert cli.main(["run", "params/tiny.yaml", *arguments]) == 2
    assert re.fullmatch(f"dmnet: .*{told}.*\n", capsys.readouterr().err)
