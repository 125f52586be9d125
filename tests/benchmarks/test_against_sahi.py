"""SAHI beside ours on one real image: every kind of row is there, with its scores and costs."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from shared import SHARED

from dmnet_lib.detection import sources

pytest.importorskip("sahi", reason="SAHI is an extra: .[sahi]")
import against_sahi

NANO, SAMPLE = SHARED / "models" / "yolox_nano.onnx", SHARED / "visdrone-sample"
CLASSES = "pedestrian: pedestrian + people, car"
pytestmark = pytest.mark.skipif(
    not (NANO.is_file() and SAMPLE.is_dir()), reason=f"no real images and model at {SHARED}"
)


def test_each_row_has_what_it_finds_and_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(against_sahi, "SLICES", {"auto": 0})
    monkeypatch.setattr(against_sahi, "SMALLER", 1.0)
    monkeypatch.setattr(against_sahi, "MERGES", {"NMS 0.5": against_sahi.MERGES["NMS 0.5"]})
    monkeypatch.setattr(against_sahi.Setting, "calibrated", lambda _: sources.plans_by("none")[0])
    given = ("val", "train", CLASSES, "person: pedestrian, car")
    setting = against_sahi.Setting(SAMPLE, NANO, *given, limit=1)
    with ThreadPoolExecutor(1) as pool:  # processes of their own take longer to start
        found = against_sahi.measured(setting, pool)
    rows = {row["name"]: row for row in found["rows"]}
    assert found["best"] == "SAHI 416, NMS 0.5" and found["images"] == 1
    assert rows["tiles 416"]["calls"] == rows[found["best"]]["calls"] == 19
    assert rows["tiles 416"]["megapixels"] == rows[found["best"]]["megapixels"]
    # The same views of the same detector, but for fusion: else coordinates went wrong.
    assert rows["tiles 416"]["AP"] == pytest.approx(rows[found["best"]]["AP"], abs=0.02)
    assert rows["density top-k 6"]["calls"] <= rows["planned 6"]["calls"] == 7
    assert rows[found["equal"]["calls"]]["calls"] == 19
    assert all(row["cpu_seconds"] > 0 and 0 <= row["AP"] <= row["AP50"] for row in rows.values())
