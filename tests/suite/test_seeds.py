"""Several training seeds on made-up notebooks: what runs once, what runs again, what is kept."""

import projects
import pytest
from projects import BASE, START

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.running import runner
from dmnet_lib.running.commands import verify

pytestmark = pytest.mark.usefixtures("no_environment")
BEGIN = 'stage = provenance.begin("{}", globals())'
STAGES = {  # a stage's parameters, what it needs, and what it measures
    "00_numbers": ('data_root: str = "."', [], "{}"),
    "02_learned": ("seed: int = 0", ["00_numbers"], "{'learned': seed}"),
    "05_found": ("seed: int = 0", ["02_learned"], "{'found': 10 * seed}"),
    "06_mean": (
        "seeds: int = 1",
        ["00_numbers", "05_found"],
        "{'of': [files.read_json(f / 'metrics.json')['found'] for f in "
        "stage.needs_of_seeds('05_found', seeds)]}",
    ),
}
GOES_WRONG = 'if (stage.results / f"wrong{seed}").exists(): raise files.InputError("no luck")'


class Project(projects.Project):
    """A project of these notebooks, and its experiment x."""

    @property
    def latest(self) -> ResultFolder:
        return ResultFolder.read(self.root / "results" / "x")

    def run(self, text: str, **switches: object) -> dict[str, str]:
        """Run the experiment; return what was said of each stage that has a line of its own."""
        self.said.clear()
        runner.run(self.experiment(text), say=self.said.append, **self.places, **switches)
        told = projects.stages_of(self.said).items()
        return {name: what.partition(":")[0] for name, what in told}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, str]]:
    """An experiment of two seeds whose second failed in stage 05, and what its second run said."""
    project = Project(tmp_path_factory.mktemp("seeds"))
    files.write_text(project.root / "base.yaml", f"{BASE}  seeds: 1  # [1, 9] trainings\n")
    for name, (cell, needs, metrics) in STAGES.items():
        cells = [START, cell, BEGIN.format(name), f"stage.write_metrics({metrics})"]
        if name == "05_found":
            cells.insert(3, GOES_WRONG)
        project.notebook(name, cells, {"needs": needs})
    wrong = files.write_text(project.root / "results" / "wrong1", "")
    with pytest.raises(InputError, match="05_found seed 1 stopped: no luck"):
        project.run("common: {seeds: 2}")
    wrong.unlink()
    return project, project.run("common: {seeds: 2}")


def test_each_seed_has_its_stages_and_what_does_not_depend_on_it_is_shared(done) -> None:
    project, said = done
    assert said == {
        "00_numbers": "cached",
        "02_learned": "cached", "02_learned seed 1": "cached",
        "05_found": "cached", "05_found seed 1": "runs",
        "06_mean": "runs",
    }  # fmt: skip
    assert project.latest.metrics("06_mean")["of"] == [0, 10]
    made_by = files.read_json(project.latest.folder("06_mean") / "provenance.json")
    folders = project.latest.all_folders
    needs = ("00_numbers", "05_found", "05_found seed 1")
    assert made_by["upstream"] == {name: folders[name].name for name in needs}
    assert not (project.latest.home / "failed" / "05_found").exists()


def test_verify_compares_the_stages_of_every_seed(done) -> None:
    latest, said = done[0].latest, []
    assert verify.compare(latest, latest, sorted(latest.stages), said.append) == []
    assert "05_found seed 1  the same" in said


def test_further_seeds_are_no_stages_of_the_report_and_clean_keeps_them(done) -> None:
    project, _ = done
    assert list(project.latest.folders) == list(STAGES)
    runner.clean(results=project.places["results"])
    assert all(
        (folder / "notebook.ipynb").exists() for folder in project.latest.all_folders.values()
    )


@pytest.mark.parametrize(
    ("common", "due"),
    [
        ("seeds: 2", []),
        ("seeds: 1", ["06_mean"]),
        ("seeds: 3", ["02_learned seed 2", "05_found seed 2", "06_mean"]),
        ("seed: 1", ["06_mean"]),  # what was a further seed's is the first's now
    ],
)
def test_only_what_another_number_of_seeds_needs_is_due(done, common: str, due: list[str]) -> None:
    said = done[0].run(f"common: {{{common}}}", dry_run=True)
    assert [name for name, what in said.items() if what == "would run"] == due
