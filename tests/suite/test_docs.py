"""The generated pages of docs/ say what results and benchmarks hold."""

import importlib.util
import re
from pathlib import Path

import pytest

from dmnet_lib.core import files, official
from dmnet_lib.core.files import ROOT, InputError

SPEC = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
build = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(build)

STRATEGIES = {
    "global": {"AP": 0.25, "crops_per_image": 0.0, "megapixels": 0.23, "max_detections": 500},
    "density": {
        "AP": 0.3126, "crops_per_image": 3.25, "megapixels": 0.91, "containment_rate": 0.9,
        "vs_global": {"difference": 0.0626, "low": 0.041, "high": 0.08},
    },
}  # fmt: skip
SUBSET = {"AP": 0.02, "AP50": 0.05, "APs": None, "vs_global_difference": -0.01,
          "vs_global_low": -0.02, "vs_global_high": 0.005}  # fmt: skip


def evaluated(results: Path, experiment: str) -> Path:
    """Leave an evaluated experiment; return the folder of all results."""
    home = results / experiment
    files.write_json(home / "latest.json", {"stages": {"06_evaluation": {"key": "k"}}})
    metrics = {"strategies": STRATEGIES, "main": list(STRATEGIES), "images": 21, "level": 0.95,
               "baselines": {"global": "global"}, "split": "train+val",
               "subsets": {"val": dict.fromkeys(STRATEGIES, SUBSET)}}  # fmt: skip
    files.write_json(home / "06_evaluation" / "k" / "metrics.json", metrics)
    return results


def test_results_show_each_strategy_and_each_subset_in_percent(tmp_path: Path) -> None:
    assert build.results_page(tmp_path).count("Not measured yet.") == 3
    page = build.results_page(evaluated(tmp_path, "visdrone_offtheshelf"))
    assert page.count("Not measured yet.") == 2
    assert "| density | 31.3 | n/a |" in page
    assert "| 90.0 | n/a | n/a | +6.3 [+4.1, +8.0] |" in page
    assert "| density | 2.0 | 5.0 | n/a | -1.0 [-2.0, +0.5] |" in page
    assert "on 21 VisDrone images" in page and "over the 21 images" in page


def test_every_rule_has_a_row_with_what_was_measured(tmp_path: Path) -> None:
    effects = {one.name: "nothing" for one in official.DEVIATIONS} | {"connectivity": "AP 1 → 2"}
    measured = {"effects": effects, "images": 21, "objects": 1435, "splits": ["train", "val"]}
    page = build.official_page(files.write_json(tmp_path / "deviations.json", measured))
    assert page.count("| no effect |") == len(official.DEVIATIONS) - 1
    assert "| AP 1 → 2 |" in page
    assert "21 images of VisDrone\n(train, val; 1,435 objects)" in page


def test_measurements_of_other_rules_are_named(tmp_path: Path) -> None:
    path = files.write_json(tmp_path / "deviations.json", {"effects": {}, "images": 1})
    with pytest.raises(InputError, match=r"deviations\.json: .* `dmnet deviations"):
        build.official_page(path)


def test_planned_crops_stand_beside_each_control(tmp_path: Path) -> None:
    own = dict.fromkeys(build.PLAN_COLUMNS, 0.5) | {"crops_per_image": 6, "megapixels_own": 1.2}
    rows = [
        own | {"strategy": "uniform 2x3", "like": None, "equal": None},
        own | {"like": "uniform 2x3", "equal": "crops", "predicted_recall": 0.625},
    ]
    about = {"images": 4, "objects": 2000, "split": "val", "curve_of": "nobody", "input_px": 416}
    page = build.plans_page(files.write_json(tmp_path / "plans.json", about | {"rows": rows}))
    assert "| uniform 2x3 | 6.0 | 1.20 | 50.0 | 50.0 | 50.0 | 50.0 | 50.0 | 62.5 | n/a |" in page
    assert "2,000 objects" in page


def test_sahi_stands_beside_ours_with_all_costs(tmp_path: Path) -> None:
    row = {"name": "planned 6", "AP": 0.103, "AP50": 0.2, "APs": None, "AP_kept": 0.09, "calls": 7,
           "megapixels": 1.2, "seconds": 0.5, "cpu_seconds": 0.25, "peak_mb": 800,
           "intervals": {"AP": [0.05, None]},
           "vs_best": {"difference": 0.02, "low": -0.01, "high": 0.05}}  # fmt: skip
    run = {"images": 4, "objects": 2000, "split": "val", "input_px": 416, "versions": {"sahi": "0"},
           "machine": {"processor": "P", "cores": 2}, "threads": 1, "load": [0.1, 5.0], "best": "B",
           "calibrated_on": "train", "equal": {"calls": "planned 6"}, "rows": [row]}  # fmt: skip
    page = build.sahi_page(files.write_json(tmp_path / "sahi.json", {"Photographs": run}))
    costs = "| 7.0 | 1.20 | 0.50 | 0.25 | 800 |"
    assert f"| 10.3 [5.0, n/a] | 20.0 | n/a | 9.0 | +2.0 [-1.0, +5.0] {costs}" in page
    assert "2,000 objects" in page and "load 0.1 to\n5.0" in page and "AP kept" in page


def test_the_rehearsal_tells_what_grows_and_what_a_kill_costs(tmp_path: Path) -> None:
    row = {
        "stage": "01_a",
        "seconds": 10,
        "cpu_seconds": 4,
        "peak_mb": 500,
        "page_mb": 0.2,
        "load": 3.04,
    }
    runs = {14: row | {"same": True}, 70: row, 700: row | {"cpu_seconds": 38}}
    shares = [{"images": images, "stages": [one]} for images, one in runs.items()]
    told = {"machine": {"processor": "P", "cores": 2}, "model": "m.onnx", "shares": shares}
    part = build.rehearsal(files.write_json(tmp_path / "rehearsal.json", told))
    cells = "4 s, 0.5 GB | 38 s, 0.5 GB | 9.5 | 1.0 | 0.2 MB |"
    assert f"| 01_a | {cells}" in part and "load 3.0 to 3.0" in part and "10.0 times" in part
    assert "14 images:\nall went on to the same metrics" in part
    shares[0]["stages"] = [row]
    files.write_json(tmp_path / "rehearsal.json", told)
    assert "all but 01_a went on" in build.rehearsal(tmp_path / "rehearsal.json")


def test_readmes_table_is_put_between_its_marks() -> None:
    text = "a\n<!-- results -->\nold\n<!-- end -->\nb"
    assert (
        build.with_text(text, "results", "| new |\n")
        == "a\n<!-- results -->\n| new |\n<!-- end -->\nb"
    )
    with pytest.raises(InputError, match="needs one"):
        build.with_text("nothing", "sahi", "")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("results.md", lambda: build.results_page(build.RESULTS)),
        ("fusion.md", lambda: build.fusion_page(build.RESULTS)),
        ("plans.md", lambda: build.plans_page(build.BENCHMARKS / "plans.json")),
        ("sahi.md", lambda: build.sahi_page(build.BENCHMARKS / "against_sahi.json")),
        ("glossary.md", build.glossary_page),
        ("official.md", lambda: build.official_page(build.RESULTS / "deviations.json")),
        ("speed.md", lambda: build.speed_page(build.BENCHMARKS / "results.json")),
    ],
)
def test_the_pages_are_up_to_date(name: str, written: object) -> None:
    assert (build.DOCS / name).read_text() == written()


def test_licences_name_each_dependency_and_none_is_agpl() -> None:
    page = (build.DOCS / "licences.md").read_text()
    rows, licences = build.licences.rows_of(page), build.licences
    assert set(rows) == licences.pinned()
    fresh = licences.rows_of(licences.table(page))  # who needs one may differ between systems
    assert {n: row[0] for n, row in rows.items()} == {n: row[0] for n, row in fresh.items()}
    affero = re.compile(r"AGPL|Affero", re.IGNORECASE)
    assert [name for name, (licence, _) in rows.items() if affero.search(licence)] == []
    assert affero.search("GNU Affero General Public License v3")


def test_the_rehearsal_in_scaling_is_up_to_date() -> None:
    page = (build.DOCS / "scaling.md").read_text("utf-8")
    part = build.rehearsal(build.BENCHMARKS / "rehearsal.json")
    assert page == build.with_text(page, "rehearsal", part)
