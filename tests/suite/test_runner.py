"""The runner on two made-up notebooks: 00_numbers writes numbers, 01_sum adds them up."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import filelock
import projects
import pytest
from projects import BASE, COMMON, START

from dmnet_lib.core import files, params, provenance, result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.running import cli, runner, stages

pytestmark = pytest.mark.usefixtures("no_environment")
PARAMETERS = f"""{BASE}\
00_numbers:
  count: 3  # [1, 10] numbers
01_sum:
  scale: 1.0  # (0, inf) factor
  fail: none  # {{none, error, input, exit, kill, full, forget, wait}} how to go wrong
"""
NUMBERS = [
    START,
    COMMON + "count: int = 3",
    'stage = provenance.begin("00_numbers", globals())\nstage',
    'files.write_json(stage.out / "numbers.json", list(range(count)))',
    'stage.write_metrics({"count": count})',
]
SUM = [
    f"import os, sys, time, signal\n{START}",
    COMMON + 'scale: float = 1.0\nfail: str = "none"',
    'stage = provenance.begin("01_sum", globals())',
    'numbers = files.read_json(stage.needs("00_numbers") / "numbers.json")',
    """\
if fail == "error": {}["no such thing"]
if fail == "input": raise files.InputError("numbers.json: line 1 is bad\\nsecond line")
if fail == "exit": sys.exit(0)
if fail == "kill": os.kill(os.getpid(), signal.SIGKILL)
if fail == "full": raise OSError(28, os.strerror(28))
if fail == "wait":
    (stage.out / "waits").touch()
    time.sleep(60)""",
    'print("total:", sum(numbers)); print("bar", 5 * 2, file=sys.stderr)',
    "total = scale * sum(numbers)",
    'if fail != "forget": files.write_json(stage.out / "t.json", total)',
    'stage.write_metrics({"headline": {"total": total}})',
]


class Project(projects.Project):
    """A project of both notebooks, and its experiment x."""

    def run(self, text: str = "", **switches: object) -> Path:
        self.said.clear()
        return runner.run(self.experiment(text), say=self.said.append, **self.places, **switches)

    @property
    def home(self) -> Path:
        return self.root / "results" / "x"

    def folder(self, stage: str) -> Path:
        return ResultFolder.read(self.home).folder(stage)

    def whys(self) -> dict[str, str]:
        return projects.stages_of(self.said)


def make(root: Path) -> Project:
    project = Project(root)
    files.write_text(root / "base.yaml", PARAMETERS)
    project.notebook("00_numbers", NUMBERS, {"needs": [], "writes": ["numbers.json"]})
    project.notebook("01_sum", SUM, {"needs": ["00_numbers"], "writes": ["t.json"]})
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make(tmp_path)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose experiment was run once; its folder's name has braces and a space."""
    project = make(tmp_path_factory.mktemp("odd {name} here"))
    project.run()
    return project


def test_a_run_leaves_whole_stages_and_nothing_else(done) -> None:
    assert sorted(path.name for path in done.folder("01_sum").iterdir()) == [
        ".run.dmnet", "machine.json", "metrics.json", "notebook.ipynb", "params.yaml",
        "provenance.json", "t.json",
    ]  # fmt: skip
    assert files.read_json(done.folder("01_sum") / "t.json") == 3.0
    assert left_over(done) == []
    assert not (done.home / "failed").exists()
    latest = ResultFolder.read(done.home)
    assert (latest.question, latest.headline("01_sum")) == ("Does it add up?", {"total": 3.0})


def test_what_is_versioned_names_no_machine_and_no_time(done) -> None:
    for name in ("metrics.json", "params.yaml", "provenance.json"):
        text = (done.folder("01_sum") / name).read_text()
        assert str(done.root) not in text
        assert not re.search(r"20\d\d-\d\d", text)
    found = files.read_json(done.folder("01_sum") / "provenance.json")
    assert found["upstream"] == {"00_numbers": done.folder("00_numbers").name}
    assert (found["experiment"], found["data"]) == ("x", "scenes")


def test_the_same_key_is_kept(done) -> None:
    before = (done.folder("01_sum") / "notebook.ipynb").stat().st_mtime_ns
    done.run()
    assert set(done.whys().values()) == {"cached: same key finished before"}
    assert (done.folder("01_sum") / "notebook.ipynb").stat().st_mtime_ns == before


def test_a_dry_run_says_why_and_touches_nothing(done) -> None:
    before = sorted(done.root.rglob("*"))
    done.run("01_sum: {scale: 2.0}", dry_run=True)
    assert done.whys()["00_numbers"] == "cached: same key finished before"
    assert done.whys()["01_sum"] == "would run: changed parameters: scale"
    done.run("00_numbers: {count: 4}", dry_run=True)
    assert done.whys()["01_sum"] == "would run: new 00_numbers"
    done.run(force=True, dry_run=True)
    assert set(done.whys().values()) == {"would run: forced"}
    assert sorted(done.root.rglob("*")) == before


def test_a_folder_with_its_metrics_only_is_not_finished(done) -> None:
    product = done.folder("01_sum") / "t.json"
    product.rename(product.with_suffix(".kept"))
    done.run(dry_run=True)
    product.with_suffix(".kept").rename(product)
    assert done.whys()["01_sum"] == "would run: the outputs were not kept"


def test_scenes_that_were_deleted_are_drawn_again(done) -> None:
    done.run("common: {data_root: data/no-such-folder}", dry_run=True)
    assert done.whys()["00_numbers"] == "would run: the scenes it generates are gone"
    assert done.whys()["01_sum"].startswith("cached")


def test_prose_keeps_the_key_and_code_changes_it(done) -> None:
    path = done.root / "notebooks" / "01_sum.ipynb"
    text = path.read_text()
    path.write_text(text.replace("A step", "Other words"))
    done.run(dry_run=True)
    assert done.whys()["01_sum"].startswith("cached")
    path.write_text(text.replace("scale * sum", "scale + sum"))
    done.run(dry_run=True)
    path.write_text(text)
    assert done.whys()["01_sum"] == "would run: changed code"


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        ("error", "01_sum stopped: KeyError: 'no such thing'; see "),
        ("input", "01_sum stopped: numbers.json: line 1 is bad second line; see "),
        ("exit", "01_sum stopped: a cell ended with SystemExit"),
        ("kill", "01_sum stopped: its kernel died"),
        ("forget", "01_sum stopped: it did not write t.json; see "),
    ],
)
def test_a_failed_stage_leaves_its_notebook_and_no_result(done, fail, message) -> None:
    before = (done.home / "latest.json").read_bytes()
    with pytest.raises(InputError) as caught:
        done.run(f"01_sum: {{fail: {fail}}}")
    assert re.fullmatch(rf".*{re.escape(message)}.*rerun \(it resumes here\)", str(caught.value))
    assert (done.home / "latest.json").read_bytes() == before
    assert left_over(done) == []
    assert (done.home / "failed" / "01_sum" / "report.html").exists()
    page = (done.home / "report.html").read_text()
    assert "Failed: 01_sum" in page
    assert re.search(r"Fix it and rerun with <code>dmnet run .+\.yaml(&#39;)?</code>", page)
    done.run()  # with the fault mended, the earlier result still stands and the failure is gone
    assert "Failed" not in (done.home / "report.html").read_text()


LATE = """
import os, sys

class Late:
    def __del__(self, write=os.write): write(2, b"late")

sys.late = Late()
"""
ENDED = """
import sys
from jupyter_client.manager import start_new_kernel
from dmnet_lib.running import runner

manager, client = start_new_kernel(extra_arguments=runner.QUIET)
client.execute_interactive(sys.argv[1])
client.stop_channels()
manager.shutdown_kernel()
"""


def test_what_a_library_prints_as_its_kernel_ends_is_not_shown() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDED, LATE], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_pages_that_a_full_disk_refuses_do_not_hide_why_a_stage_stopped(done, monkeypatch) -> None:
    monkeypatch.setattr(runner.pages, "write_experiment", Mock(side_effect=OSError(28, "")))
    with pytest.raises(InputError, match=r"the disk is full .* `dmnet clean`"):
        done.run("01_sum: {fail: full}")


def test_ctrl_c_ends_the_command_with_130_and_no_half_result(done) -> None:
    experiment = done.experiment("01_sum: {fail: wait}")
    code = (
        "import signal, sys; from functools import partial; from pathlib import PosixPath\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's jobs ignore it
        "from dmnet_lib.running import cli, runner\n"
        f"runner.run = partial(runner.run, **{done.places})\n"
        f"sys.exit(cli.main(['run', '{experiment}']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    ends = time.monotonic() + 30
    while not any((done.home / ".work").glob("01_sum-*/waits")):
        assert time.monotonic() < ends, "nothing happened in 30 s"
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert any(line.startswith("dmnet: stopped") for line in errors.splitlines())
    assert left_over(done) == []


def left_over(project: Project) -> list[Path]:
    return list((project.home / ".work").glob("*"))


def test_two_runs_of_one_experiment_do_not_mix(done) -> None:
    (done.home / ".owner").write_text("4711")
    told = "x is in use by process 4711"
    with filelock.FileLock(done.home / ".lock"), pytest.raises(InputError, match=told):
        done.run()


def test_what_a_killed_run_left_goes_with_the_next(done) -> None:
    files.write_text(done.home / ".work" / "01_sum-0123456789ab" / "half.npz", "")
    done.run()
    assert not (done.home / ".work").exists()


def test_a_stage_that_another_experiment_finished_is_taken_over(done) -> None:
    other = done.experiment("01_sum: {scale: 5.0}", name="other")
    told: list[str] = []
    runner.run(other, say=told.append, until="00_numbers", **done.places)
    assert told[0].endswith("cached: reused from experiment x")
    own = done.folder("00_numbers")
    taken = done.root / "results" / "other" / "00_numbers" / own.name
    assert {p.name for p in own.iterdir()} == {p.name for p in taken.iterdir()}
    files.write_text(taken / "metrics.json", "{}\n")  # each has its own from here on
    assert (own / "metrics.json").read_text() != "{}\n"


def test_a_stage_is_not_taken_over_where_it_is_not_whole_or_where_forced(done) -> None:
    third, told = done.experiment(name="third"), []
    runner.run(third, say=told.append, force=True, dry_run=True, **done.places)
    folders = list(done.root.glob("results/*/00_numbers/*"))
    for folder in folders:
        (folder / "notebook.ipynb").rename(folder / "aside")
    runner.run(third, say=told.append, dry_run=True, **done.places)
    for folder in folders:
        (folder / "aside").rename(folder / "notebook.ipynb")
    assert told[0].endswith("would run: forced")
    assert told[2].endswith("would run: not run before")


def test_clean_keeps_the_latest_and_without_a_name_forgets_what_detectors_saw(done) -> None:
    old = files.write_json(done.home / "01_sum" / "0123456789ab" / "metrics.json", {}).parent
    assert runner.clean("x", results=done.places["results"]) >= 3
    assert not old.exists()
    assert (done.folder("01_sum") / "t.json").exists()
    for name in ("y", "*", "../x"):
        with pytest.raises(InputError, match="no such experiment"):
            runner.clean(name, results=done.places["results"])
    seen = files.write_json(done.places["results"] / ".cache" / "detections" / "k" / "a.npz", {})
    assert runner.clean("x", results=done.places["results"]) == 0 and seen.exists()
    part = files.write_text(seen.parents[2] / "checkpoints" / ".dmnet-0.part", "half")
    os.utime(part, (0, 0))
    assert runner.clean(results=done.places["results"]) >= 7
    assert not seen.exists() and not part.exists()
    assert (done.folder("01_sum") / "t.json").exists()


def test_clean_passes_over_what_is_in_use_and_what_is_damaged(done, monkeypatch, capsys) -> None:
    results = done.places["results"]
    homes = [results / name for name in ("a_used", "b_torn", "c", "x")]
    for home in homes[:3]:
        shutil.copytree(done.home, home)
        files.write_json(home / "01_sum" / "0123456789ab" / "metrics.json", {})
    homes[1].joinpath("latest.json").write_text("{")
    seen = files.write_json(results / ".cache" / "detections" / "k" / "a.npz", {})
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(results))
    with filelock.FileLock(homes[0] / ".lock"):
        assert cli.main(["clean"]) == 1
        assert cli.main(["clean", "a_used"]) == 1
    said = capsys.readouterr()
    assert "passed over: a_used is in use by process" in said.out and "freed 0.0 MB" in said.out
    damaged, used = said.err.splitlines()
    assert "b_torn/latest.json: not valid JSON" in damaged and "a_used is in use" in used
    old = [(home / "01_sum" / "0123456789ab").exists() for home in homes[:3]]
    assert old == [True, True, False] and seen.exists()  # a run that goes on needs what it saw
    assert cli.main(["clean"]) == 1 and not seen.exists()
    assert cli.main(["report"]) == 1
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("dmnet: b_torn: ")
    assert f"{homes[2]}/report.html" in said.out
    assert "b_torn/latest.json: not valid JSON" in (results / "index.html").read_text()
    for home in homes[:3]:
        shutil.rmtree(home)


def test_an_output_that_was_cut_is_made_again(done) -> None:
    path = done.folder("01_sum") / "t.json"
    path.write_text(path.read_text()[:-2])
    done.run()
    assert done.whys()["01_sum"] == "runs: an output is not whole"
    assert files.read_json(path) == 3.0


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["run", "none.yaml"], 1), (["clean", "none"], 1),
     (["rum"], 2), (["run"], 2), (["data", "check"], 2), (["run", "x", "--unti", "3", "--no"], 2)],
)  # fmt: skip
def test_a_wrong_command_is_one_line(arguments, status, capfd) -> None:
    assert cli.main(arguments) == status
    assert re.fullmatch(r"dmnet: .+\n", capfd.readouterr().err)


def test_a_run_of_other_values_leaves_the_parameter_file_that_repeats_it(done) -> None:
    path, told = done.root / "results" / "x-scale-2_0" / "x-scale-2_0.yaml", []
    text = params.text_of("What if?", {"01_sum": {"scale": 2.0}})
    for switches in ({"text": text}, {}):
        runner.run(path, say=[].append, tell=told.append, **switches, **done.places)
    assert (path.read_text(), told[0]["experiment"]) == (text, "x-scale-2_0")
    assert [[one["run"] for one in run["stages"]] for run in told] == [[False, True], [False] * 2]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(59.7, "1 min 0 s"), (125, "2 min 5 s"), (3780, "1 h 3 min")],
)
def test_durations_are_for_people(seconds: float, words: str) -> None:
    assert runner._time(seconds) == words


def test_until_stops_after_that_stage(project) -> None:
    project.run(until="00")
    assert list(ResultFolder.read(project.home).stages) == ["00_numbers"]
    begun, took, report = project.said
    assert re.fullmatch(r"1/1 00_numbers  \w{12}  runs: not run before", begun)
    assert re.fullmatch(r"1/1 00_numbers  done in \d+ s, \d+ s in all", took)
    assert re.fullmatch(r".*report\.html  \(\d+ s\)", report)
    with pytest.raises(InputError, match=r"did you mean 01_sum\?; there are 00_numbers, 01_sum"):
        project.run(until="01_sun")


def test_names_that_only_one_side_knows_stop_the_run(project) -> None:
    for cell, names in (("countt: int = 3", "count, countt"), ("count: int = 3\nb: int = 1", "b")):
        project.notebook("00_numbers", [NUMBERS[0], COMMON + cell], {"writes": []})
        with pytest.raises(InputError, match=rf"00_numbers\.ipynb: {names}: in the"):
            project.run()
    assert not project.home.exists()


@pytest.mark.parametrize(
    ("dmnet", "cells", "message"),
    [
        (None, SUM, "its metadata must hold dmnet"),
        ({"needs": ["00_numers"]}, SUM, "did you mean 00_numbers"),
        ({"needs": ["00_numbers"]}, [*SUM, "def"], r"01_sum\.ipynb: a code cell is not Python"),
    ],
)
def test_a_notebook_that_says_too_little_is_refused(project, dmnet, cells, message) -> None:
    project.notebook("01_sum", cells, dmnet)
    with pytest.raises(InputError, match=message):
        project.run()
    with pytest.raises(InputError, match="no notebook named like"):
        stages.read_notebooks(project.root)


def test_detections_of_other_runs_enter_the_key_of_what_compares_them(tmp_path) -> None:
    """Git brings none, and without them a difference has no interval."""
    own, detection = tmp_path / "own", result_folder.DETECTION
    files.write_json(tmp_path / "other" / "latest.json", {"stages": {detection: {"key": "k"}}})
    of_git = stages.other_results(own, result_folder.COMPARISON, ())
    files.write_text(tmp_path / "other" / detection / "k" / result_folder.NOTEBOOK, "{}")
    here = stages.other_results(own, result_folder.COMPARISON, ())
    assert of_git != here == {"other": {detection: "k"}}


def test_missing_data_stop_the_run_before_it_starts(project, monkeypatch) -> None:
    monkeypatch.setenv("DMNET_DATA_ROOT", str(project.root / "nowhere"))
    with pytest.raises(InputError, match=r"nowhere: no data there; set DMNET_DATA_ROOT"):
        project.run("common: {dataset: visdrone}")
    assert not project.home.exists()


def test_where_the_data_lies_does_not_enter_the_key(project, monkeypatch) -> None:
    keys = []
    for place in ("one", "two"):
        files.write_text(project.root / place / "val" / "images" / "a.txt", "the same")
        monkeypatch.setenv("DMNET_DATA_ROOT", str(project.root / place))
        experiment = params.load(
            project.experiment("common: {dataset: visdrone}"), base_path=project.places["base_path"]
        )
        assert stages.find_data(experiment)[0] == project.root / place
        keys.append(planned_keys(project, experiment))
    assert keys[0] == keys[1]
    files.write_text(project.root / "two" / "val" / "images" / "a.txt", "another")
    assert not set(planned_keys(project, experiment)) & set(keys[0])


def planned_keys(project: Project, experiment: params.Experiment) -> list[str]:
    sources = stages.read_notebooks(project.root / "notebooks")
    _, data = stages.find_data(experiment)
    home = project.root / "results" / experiment.name
    return [step.key for step in stages.plan(experiment, sources, home, data=data)]


def test_real_data_reach_the_cells_and_stay_out_of_what_is_versioned(project, monkeypatch) -> None:
    files.write_text(project.root / "here" / "val" / "images" / "a.txt", "data")
    monkeypatch.setenv("DMNET_DATA_ROOT", str(project.root / "here"))
    project.run("common: {dataset: visdrone, data_root: data/declared}", until="00_numbers")
    folder = project.folder("00_numbers")
    assert str(project.root / "here") in (folder / "notebook.ipynb").read_text()
    assert params.parse((folder / "params.yaml").read_text())["data_root"] == "data/declared"
    written = files.read_json(folder / "provenance.json")
    assert written["data"] == provenance.data_fingerprint(project.root / "here")
