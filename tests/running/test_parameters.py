"""Every parameter of base.yaml, turned alone: its stage gets another key, or it is refused."""

from pathlib import Path

import onnx_files
import pytest
import turned

from dmnet_lib.core import files, params, provenance
from dmnet_lib.core.files import InputError
from dmnet_lib.cropping import recall
from dmnet_lib.running import stages

KNOWN = params.declared()
PLACES = [f"{section}.{name}" for section, own in KNOWN.items() for name in own]
REFUSED = {  # alone, with what the run says
    **dict.fromkeys(turned.WITH, "counts (only|not) with"),
    "common.dataset": "no data there; set DMNET_DATA_ROOT",
    "common.device": "device (cuda|mps): PyTorch finds none here",
    "05_fused_detection.architecture": "architecture onnx needs a model_file",
}
UNKEYED = {"common.data_root": "the same scenes give the same results, wherever they lie"}


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the code of the notebooks, which is the same in all keys here."""
    monkeypatch.setenv("DMNET_DATA_ROOT", str(tmp_path / "nowhere"))
    monkeypatch.delenv("DMNET_MODEL_FILE", raising=False)
    monkeypatch.setattr(provenance, "notebook_digest", lambda path: path.stem)


@pytest.fixture(scope="module")
def sources() -> dict[str, stages.Notebook]:
    return stages.read_notebooks(stages.NOTEBOOKS)


def keys(folder: Path, sources: dict, values: dict) -> dict[str, str]:
    """Return the key of each stage of an experiment of values by their place."""
    model = onnx_files.colours(folder / "colours.onnx", shape=(1, 3, "h", "w"))
    curve = recall.write(folder / "curve.json", recall.Curve())
    sections: dict = {}
    for place, value in values.items():
        section, _, name = place.partition(".")
        value = {turned.MODEL: str(model), turned.CURVE: str(curve)}.get(str(value), value)
        sections.setdefault(section, {})[name] = value
    path = files.write_text(folder / "x.yaml", params.text_of("What?", sections))
    experiment = params.load(path)
    home, (_, data) = folder / "results" / "x", stages.find_data(experiment)
    plans = stages.plan(experiment, sources, home, data=data)
    return {step.name: step.key for step in plans}


@pytest.mark.parametrize("place", PLACES)
def test_a_parameter_turned_alone_changes_a_key_or_is_refused(tmp_path, sources, place) -> None:
    values = {place: turned.other(place)}
    if place in REFUSED:
        with pytest.raises(InputError, match=REFUSED[place]):
            keys(tmp_path, sources, values)
        return
    before, after = keys(tmp_path, sources, {}), keys(tmp_path, sources, values)
    changed = [stage for stage in after if before.get(stage) != after[stage]]
    section = place.partition(".")[0]
    if place in UNKEYED:
        assert changed == []
    else:
        assert changed and min(changed) == (min(changed) if section == "common" else section)


@pytest.mark.parametrize("place", turned.WITH)
def test_a_parameter_changes_its_key_where_it_counts(tmp_path, sources, place) -> None:
    if place in turned.ELSEWHERE:
        pytest.skip(turned.ELSEWHERE[place])
    given = turned.WITH[place]
    before = keys(tmp_path, sources, given)
    after = keys(tmp_path, sources, given | {place: turned.other(place)})
    assert min(s for s in after if before[s] != after[s]) == place.partition(".")[0]
