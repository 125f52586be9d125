"""Which folder is the project, and where notebooks and parameter files are read."""

from pathlib import Path

import pytest

from dmnet_lib.core import files, project


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    """A project in a folder, beside which there is none."""
    files.write_text(tmp_path / "survey" / "params" / "base.yaml", "")
    (tmp_path / "survey" / "notebooks" / "recipes").mkdir(parents=True)
    return tmp_path / "survey"


def test_a_project_is_found_from_within_it_alone(survey: Path) -> None:
    for place in (survey, survey / "params", survey / "notebooks" / "recipes"):
        assert project.at_or_above(place) == survey
    assert project.at_or_above(survey.parent) is None
    (survey / "params" / "base.yaml").unlink()
    assert project.at_or_above(survey) is None


def test_outside_of_projects_the_clone_is_the_project(survey: Path, monkeypatch) -> None:
    monkeypatch.chdir(survey / "notebooks")
    assert project.root() == survey == project.sources(survey)
    monkeypatch.chdir(survey.parent)
    assert project.root() == project.LIBRARY.parent == project.sources(project.root())
    monkeypatch.setenv(project.ENVIRONMENT, str(survey))
    assert project.root() == survey


def test_of_an_install_the_working_folder_is_the_project(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(project, "SHIPPED", project.INSTALLED)
    monkeypatch.chdir(tmp_path)
    assert project.root() == tmp_path
    assert project.sources(tmp_path) == project.INSTALLED
