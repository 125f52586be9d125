"""What other programs import: every name is there, nothing is loaded early, the example runs."""

import inspect
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import dmnet_lib
from dmnet_lib.data import scenes


@pytest.mark.parametrize("name", dmnet_lib.EXPORTS)
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(getattr(dmnet_lib, name))
    assert name in dir(dmnet_lib)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'density_mp'"):
        _ = dmnet_lib.density_mp


def test_the_import_loads_nothing() -> None:
    code = "import sys, dmnet_lib; print([m for m in sys.modules if m[:10] == 'dmnet_lib.'])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.suite
def test_the_example_of_the_docstring_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untrained_run: Path
) -> None:
    example = textwrap.dedent(dmnet_lib.__doc__.split("\n\n", 1)[1].split("\n\nNothing")[0])
    scenes.prepare(tmp_path / "data", dataset="scenes", train=1, val=2, test=1, seed=0)
    image = next((tmp_path / "data").glob("*val/images/*.jpg"))
    names: dict = {}
    example = example.replace("data/VisDrone", str(tmp_path / "data"))
    example = example.replace("results/demo", str(untrained_run))
    exec(example.replace("picture.jpg", str(image)), names)
    assert names["density"].sum() == pytest.approx(
        (names["points"].image_index == 0).sum(), rel=1e-5
    )
    assert len(names["crops"].of_image(0)) > 0
