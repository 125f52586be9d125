"""`dmnet init`: a project of one's own, which it never overwrites; and where commands work."""

import os
from pathlib import Path

from dmnet_lib.core import files, project
from dmnet_lib.running import cli


def test_a_project_is_laid_out_once(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "survey"
    assert cli.main(["init", str(folder)]) == 0
    assert project.at_or_above(folder / "params") == folder
    names = {path.relative_to(folder) for path in folder.rglob("[!.]*") if path.is_file()}
    assert names == set(project.shipped())
    assert {"params/tiny.yaml", "notebooks/recipes/sahi.ipynb"} <= set(map(str, names))
    (folder / "params" / "demo.yaml").unlink()
    assert cli.main(["init", str(folder)]) == 0
    assert f"1 files written, {len(names) - 1} there already" in capsys.readouterr().out


def test_a_file_of_ones_own_is_not_overwritten(tmp_path: Path, capsys) -> None:
    own = files.write_text(tmp_path / "params" / "tiny.yaml", "# mine\n")
    assert cli.main(["init", str(tmp_path)]) == 1
    assert "params/tiny.yaml: not made by `dmnet init`" in capsys.readouterr().err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [own]
    assert own.read_text() == "# mine\n"


def test_a_file_of_an_older_version_is_renewed(tmp_path: Path, monkeypatch) -> None:
    """But not one that was changed since."""
    new = project.shipped()
    older = {name: files.write_text(tmp_path / "older" / name, "older") for name in new}
    monkeypatch.setattr(project, "shipped", lambda: older)
    folder, changed = tmp_path / "survey", tmp_path / "survey" / "params" / "tiny.yaml"
    assert cli.main(["init", str(folder)]) == 0
    monkeypatch.setattr(project, "shipped", lambda: new)
    changed.write_text("# mine\n")
    assert cli.main(["init", str(folder)]) == 1
    changed.write_bytes(new[changed.relative_to(folder)].read_bytes())
    assert cli.main(["init", str(folder)]) == 0
    assert all((folder / name).read_bytes() == path.read_bytes() for name, path in new.items())


def test_the_project_is_that_of_the_parameter_file(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv(project.ENVIRONMENT, raising=False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    cli._enter_project(["run", str(files.ROOT / "params" / "tiny.yaml")])
    assert project.ENVIRONMENT not in os.environ
    path = files.write_text(tmp_path / "params" / "x.yaml", "")
    cli._enter_project(["run", str(path)])  # no base.yaml: a file outside of any project
    assert project.ENVIRONMENT not in os.environ
    assert cli.main(["init", str(tmp_path)]) == 0
    cli._enter_project(["run", str(path), "--dry-run"])
    assert os.environ[project.ENVIRONMENT] == str(tmp_path)


def test_where_nothing_was_run_no_report_is_written(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(tmp_path / "results"))
    assert cli.main(["report"]) == 1
    assert "results: no results; change to the project" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
