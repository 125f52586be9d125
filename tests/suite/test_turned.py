"""Every parameter of base.yaml, turned alone on the tiny experiment: what its stage leaves changes.

Stages before it are taken over from the run that all tests share.
"""

import hashlib
from pathlib import Path

import onnx_files
import pytest
import turned
from tiny import PARAMS, Run

from dmnet_lib.core import files, params
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.cropping import recall
from dmnet_lib.running import runner

pytestmark = pytest.mark.thorough
# What says how a stage was run, and not what it found.
ABOUT = ("params.yaml", "provenance.json", "machine.json", "timings.json", "notebook.ipynb",
         "report.html", ".run.dmnet", "strategies.json")  # fmt: skip
STAGES = tuple(name for name in params.declared() if name != params.COMMON)
FIRST = {  # stage that goes by a common parameter, where that is not the first
    "common.seed": "02_mcnn_training", "common.numerics": "02_mcnn_training",
    "common.seeds": "06_evaluation", "common.profile": "01_density_ground_truth",
    "common.profile_changes": "03_density_crops",
}  # fmt: skip
SAME = {  # what may leave the same, and why
    "common.dataset": "test_own_data runs data of other kinds",
    "common.data_root": "the same scenes give the same results, wherever they lie",
    "common.layout": "tests/data/test_datasets.py reads data by it",
    "common.device": "another device is refused where there is none",
    "common.numerics": "it may change last digits alone, on other processors",
    "05_fused_detection.architecture": "it is what others are turned with",
    "05_fused_detection.model_file": "it is among what is set with architecture onnx",
    "05_fused_detection.pretrained": "its weights are fetched",
}
STOPS = {"02_mcnn_training.min_count_ratio": "MCNN's output collapsed"}
PLACES = [f"{s}.{name}" for s, own in params.declared().items() for name in own]


def run(home: Path, name: str, values: dict, until: str) -> Path:
    """Run the tiny experiment with other values; return the folder of its last stage."""
    written = {
        turned.MODEL: onnx_files.colours(home / "in" / "colours.onnx", shape=(1, 3, "h", "w")),
        turned.CURVE: recall.write(home / "in" / "curve.json", recall.Curve(0.5, 30.0, 0.2)),
    }
    sections = params.load(PARAMS).changed
    for place, value in values.items():
        section, _, own = place.partition(".")
        value = str(written[value]) if value in (*written,) else value
        sections[section] = sections.get(section, {}) | {own: value}
    path = files.write_text(home / "in" / f"{name}.yaml", params.text_of("What?", sections))
    runner.run(path, say=print, until=until, results=home)
    return ResultFolder.read(home / name).folder(until)


def products(folder: Path) -> dict[str, str]:
    """Return the digest of each file that a stage leaves."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ABOUT:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[path.relative_to(folder).as_posix()] = digest
    return found


@pytest.mark.parametrize("stage", [s for s in STAGES if s[:2] != "07"])
def test_what_is_run_again_leaves_the_same(tiny: Run, stage: str) -> None:
    before = products(tiny.folder(stage))
    path = files.write_text(tiny.home.parent / "in" / "again.yaml", PARAMS.read_text())
    runner.run(path, say=print, until=stage, force=True, results=tiny.home.parent)
    assert products(ResultFolder.read(tiny.home.parent / "again").folder(stage)) == before


@pytest.mark.parametrize("place", PLACES)
def test_a_parameter_turned_alone_changes_what_its_stage_leaves(tiny: Run, place: str) -> None:
    if place in SAME:
        pytest.skip(SAME[place])
    home, given = tiny.home.parent, turned.WITH.get(place, {})
    section, _, name = place.partition(".")
    stage = FIRST.get(place, STAGES[0] if section == params.COMMON else section)
    values = given | {place: turned.other(place)}
    if place in STOPS:
        with pytest.raises(InputError, match=STOPS[place]):
            run(home, f"turned-{name}", values, stage)
        return
    before = tiny.folder(stage) if not given else run(home, f"with-{name}", given, stage)
    after = run(home, f"turned-{stage[:2]}-{name}", values, stage)
    assert after.name != before.name
    assert products(after) != products(before)
