import re
from pathlib import Path

import nbformat
import pytest

from dmnet_lib.core import files, official
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.reporting.pages import pages, readme
from dmnet_lib.reporting.pages.render import Table

BASE = (
    "common:\n  seed: 0  # [0, inf) of every draw\n01_a:\n  sigma_px: 15.0  # (0, inf) px, width\n"
)
OUTSIDE = re.compile(r"""(?:src|href)=["'](?!#|data:)|url\(|https?://|<script""")


def output(kind: str, **data: str) -> nbformat.NotebookNode:
    if kind == "stream":
        return nbformat.v4.new_output("stream", **data)
    return nbformat.v4.new_output(
        "display_data", data={k.replace("_", "/"): v for k, v in data.items()}
    )


def stage(folder: Path, cells: list, *, sigma: float = 15.0, upstream: dict | None = None) -> Path:
    folder.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebook.ipynb")
    files.write_text(folder / "params.yaml", f"seed: 0\nsigma_px: {sigma}\n")
    made_by = {"stage": "01_a", "experiment": "x", "code": "abc", "upstream": upstream or {}}
    files.write_json(folder / "provenance.json", made_by)
    return folder


def code(source: str, outputs: list, tags: list[str] | None = None) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell(source, outputs=outputs)
    cell.metadata.tags = tags or []
    return cell


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return files.write_text(tmp_path / "base.yaml", BASE)


def page_of(base: Path, cells: list, **about: object) -> str:
    folder = stage(base.parent / "stage", cells, **about)
    return pages.write_stage(folder, base_path=base).read_text()


def test_an_empty_notebook_gives_a_whole_page(base: Path) -> None:
    page = page_of(base, [])
    assert page.startswith("<!doctype html>")
    assert "<title>01_a · x</title>" in page
    assert not OUTSIDE.search(page)


def test_no_experiment_gives_an_empty_list(tmp_path: Path) -> None:
    page, listed = pages.write_index(tmp_path)
    assert "<h1>Experiments</h1>" in page.read_text()
    assert listed.read_text().count("\n|") == 2


def test_rendering_twice_gives_the_same_bytes(base: Path) -> None:
    cells = [
        nbformat.v4.new_markdown_cell("# T"),
        code("x = 1", [output("stream", name="stdout", text="1")]),
    ]
    folder = stage(base.parent / "s", cells)
    first = pages.write_stage(folder, base_path=base).read_bytes()
    assert pages.write_stage(folder, base_path=base).read_bytes() == first


def test_a_page_shows_results_and_leaves_progress_out(base: Path) -> None:
    figure = '<figure><img alt="F" src="data:image/png;base64,AA=="/></figure>'
    widget = {"application_vnd.jupyter.widget-view+json": "{}", "text_plain": "HBox(bar)"}
    outputs = [
        output("stream", name="stdout", text="<told>\n"),
        output("stream", name="stderr", text="loading 10%"),
        output("display", text_html=figure, text_plain="Figure(1)"),
        output("display", **widget),
        output("display", application_javascript="alert(1)", text_plain="Javascript object"),
    ]
    page = page_of(base, [code("shown = 1", outputs)])
    assert figure in page
    assert "&lt;told&gt;" in page
    for absent in ("loading 10%", "Figure(1)", "HBox", "alert(1)"):
        assert absent not in page
    assert not OUTSIDE.search(page)


def test_a_picture_keeps_its_words(base: Path) -> None:
    shown = output("display", image_png="AA==")
    shown.metadata = {"image/png": {"alt": "a curve"}}
    assert 'alt="a curve"' in page_of(base, [code("x", [shown])])


def test_code_is_folded_and_tags_are_honoured(base: Path) -> None:
    said = [output("stream", name="stdout", text="result")]
    cells = [
        code("folded", []),
        code("hidden", said, ["remove-input"]),
        code("gone", [], ["remove-cell"]),
    ]
    page = page_of(base, cells)
    assert page.count('<details class="code">') == 1
    assert "folded" in page
    assert "hidden" not in page
    assert "gone" not in page
    assert "result" in page


def test_a_parameter_that_differs_is_marked_in_words(base: Path) -> None:
    page = page_of(base, [], sigma=4.0)
    assert (
        '<tr class="changed"><td>01_a</td><td>sigma_px</td><td class="num">4</td>'
        "<td>15 (changed)</td>"
    ) in page
    assert page.count('class="changed"') == 1


def experiment(base: Path, name: str = "x", **metrics: object) -> Path:
    home = base.parent / "results" / name
    entry = {"key": "k1", "headline": {"AP": 0.41234}}
    cells = [nbformat.v4.new_markdown_cell("# Points\n\n## What was measured\n\n[up](#Points)")]
    for number in ("01_a", "02_b"):
        stage(home / number / "k1", cells, upstream={"01_a": "k1"} if number == "02_b" else {})
    stages = {"01_a": {"key": "k1", "headline": {}}, "02_b": entry}
    about = {"question": "Is it <so>?", "changed": {"01_a": {"sigma_px": 4.0}}, "stages": stages}
    files.write_json(home / "latest.json", about)
    return home


def test_an_experiments_page_leads_with_its_question_and_headline(base: Path) -> None:
    page = pages.write_experiment(experiment(base), base_path=base).read_text()
    places = [page.index(text) for text in ("Is it &lt;so&gt;?", "0.4123", "Contents", "<section")]
    assert places == sorted(places)
    anchors = re.findall(r'id="([^"]+)"', page)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(anchors)
    assert page.count("<h1") == 1
    assert not OUTSIDE.search(page)


def test_what_was_made_from_an_older_run_is_called_out_of_date(base: Path) -> None:
    home = experiment(base)
    assert "Out of date" not in pages.write_experiment(home, base_path=base).read_text()
    ResultFolder.read(home).with_stage("01_a", "k2", {}).write()
    assert pages.write_experiment(home, base_path=base).read_text().count("Out of date") == 1


def test_a_failed_stage_says_what_broke_and_how_to_go_on(base: Path) -> None:
    home = experiment(base)
    folder = stage(home / "failed" / "02_b", [nbformat.v4.new_markdown_cell("# Points")])
    files.write_json(folder / "error.json", {"message": "KeyError: 'no <such> thing'"})
    page = pages.write_experiment(home, base_path=base).read_text()
    assert "Failed: 02_b" in page
    assert "no &lt;such&gt; thing" in page
    assert "rerun with the same command" in page
    anchors = re.findall(r'id="([^"]+)"', page)
    assert len(anchors) == len(set(anchors))


def test_the_index_lists_each_experiment_with_a_link_beside_it(base: Path) -> None:
    experiment(base, "x")
    experiment(base, "y|z")
    page, listed = (path.read_text() for path in pages.write_index(base.parent / "results"))
    assert '<a href="x/report.html">x</a>' in page
    assert "| x | Is it &lt;so>? | - | - | - | - | - | sigma_px: 4 |" in listed
    assert "y\\|z" in listed


def test_the_values_of_a_sweep_are_in_the_page_and_not_in_what_git_keeps(base: Path) -> None:
    experiment(base, "x-sigma-4")
    sweep = experiment(base, "x-sigma")
    files.write_json(sweep / "sweep.json", {"runs": [{"experiment": "x-sigma-4"}]})
    page, listed = (path.read_text() for path in pages.write_index(base.parent / "results"))
    assert "x-sigma-4" in page and "x-sigma-4" not in listed and "| x-sigma |" in listed


STRATEGIES = {
    "global": {"AP": 0.25, "crops_per_image": 0.0, "megapixels": 0.23},
    "density": {
        "AP": 0.3126, "crops_per_image": 3.25, "megapixels": 0.91, "containment_rate": 0.9,
        "vs_global": {"difference": 0.0626, "low": 0.041, "high": 0.08},
        "vs_uniform": {"difference": -0.004, "low": -0.01, "high": 0.002},
    },
}  # fmt: skip


def demo(tmp_path: Path) -> Path:
    results = tmp_path / "results"
    entry = {"key": "k", "headline": {}}
    stages = {"05_fused_detection": entry, "06_evaluation": entry}
    files.write_json(results / "demo" / "latest.json", {"stages": stages})
    files.write_bytes(results / "demo" / "05_fused_detection" / "k" / "figures" / "fused.png", b"")
    folder = results / "demo" / "06_evaluation" / "k"
    baselines = {"global": "global", "uniform": "uniform 2x3"}
    files.write_json(folder / "metrics.json", {"strategies": STRATEGIES, "baselines": baselines})
    return results


def off_the_shelf(results: Path) -> Path:
    """Leave an evaluated experiment on real images, of whose strategies one is for tables."""
    home = results / "visdrone_offtheshelf"
    files.write_json(home / "latest.json", {"stages": {"06_evaluation": {"key": "k"}}})
    folder = home / "06_evaluation" / "k"
    rows = {"global": {"AP": 0.03, "max_detections": 500}, "planned oracle 8": {"AP": 0.13}}
    metrics = {"strategies": rows, "main": ["global"], "images": 21, "split": "train+val"}
    metrics |= {"baselines": {"global": "global", "uniform": "uniform 2x3"}}
    metrics |= {"subsets": {"val": {"global": PART}}, "level": 0.95}
    files.write_json(folder / "metrics.json", metrics)
    files.write_bytes(folder / "figures" / "budgets.png", b"")
    return results


PART = {"AP": 0.02, "AP50": 0.05, "APs": None, "vs_global_difference": None,
        "vs_uniform_difference": -0.01, "vs_uniform_low": -0.02,
        "vs_uniform_high": 0.005}  # fmt: skip


def test_the_readme_table_shows_each_strategy_in_points(tmp_path: Path) -> None:
    rows = readme.readme_table(demo(tmp_path)).splitlines()
    assert rows[0].startswith("| strategy | AP | AP50 |")
    assert rows[2].startswith("| density | 31.3 | - |")
    assert "| +6.3 [4.1, 8.0] | -0.4 [-1.0, 0.2] |" in rows[2]
    assert rows[3].startswith("| global | 25.0 | - |")
    assert rows[0].endswith("| vs global | vs uniform 2x3 |")


def test_the_readme_shows_main_strategies_off_the_shelf_once_they_are_measured(
    tmp_path: Path,
) -> None:
    assert readme.readme_off_the_shelf(demo(tmp_path)) == "Not measured yet.\n"
    table = readme.readme_off_the_shelf(off_the_shelf(tmp_path / "results"))
    assert "| global | 3.0 |" in table
    assert "planned oracle 8" not in table
    assert "over 21 test images" in table
    assert "| val alone | AP | AP50 | APs | vs global | vs uniform 2x3 |" in table
    assert "| global | 2.0 | 5.0 | - | - | -1.0 [-2.0, 0.5] |" in table


def test_a_curve_says_on_which_images_and_by_which_protocol(tmp_path: Path) -> None:
    assert readme.readme_curves(demo(tmp_path), seen_from=tmp_path) == "Not measured yet.\n"
    shown = readme.readme_curves(off_the_shelf(tmp_path / "results"), seen_from=tmp_path)
    assert "(results/visdrone_offtheshelf/06_evaluation/k/figures/budgets.png)" in shown
    assert "on 21 VisDrone images (train+val), by COCO's protocol at 500" in shown
    assert "95% intervals" in shown


def test_a_demo_that_was_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run `dmnet run params/demo\.yaml` first"):
        readme.readme_table(tmp_path)


FIGURE = "<!-- figure:begin -->\n<!-- figure:end -->\n"
CURVES = "<!-- curves:begin -->\nold\n<!-- curves:end -->\n"
SHELF = "<!-- offtheshelf:begin -->\nold\n<!-- offtheshelf:end -->\n"
TABLE = "<!-- results:begin -->\nold\n<!-- results:end -->\n"
RULES = "<!-- deviations:begin -->\nold\n<!-- deviations:end -->\n"
SPEED = "<!-- bench:begin -->\nold\n<!-- bench:end -->\n"
PLANS = "<!-- plans:begin -->\nold\n<!-- plans:end -->\n"


def test_only_what_stands_between_the_marks_is_replaced(tmp_path: Path) -> None:
    path = files.write_text(
        tmp_path / "README.md", f"{CURVES}{SHELF}a\n{FIGURE}b\n{TABLE}c\n{RULES}{PLANS}{SPEED}"
    )
    assert readme.update_readme(path, demo(tmp_path))
    text = path.read_text()
    assert "a\n<!-- figure:begin -->\n![" in text
    assert (
        "](results/demo/05_fused_detection/k/figures/fused.png)\n<!-- figure:end -->\nb\n" in text
    )
    assert "<!-- results:begin -->\n| strategy" in text
    rest = "<!-- results:end -->\nc\n<!-- deviations:begin -->\nNot measured yet.\n"
    plans, speed = (
        f"<!-- {mark}:begin -->\nNot measured yet.\n<!-- {mark}:end -->\n"
        for mark in ("plans", "bench")
    )
    assert text.endswith(f"{rest}<!-- deviations:end -->\n{plans}{speed}")
    assert "old" not in text
    assert not readme.update_readme(path, tmp_path / "results")


@pytest.mark.parametrize(
    "text",
    [
        "",
        FIGURE,
        TABLE,
        FIGURE + TABLE,
        FIGURE + TABLE + RULES,
        FIGURE + TABLE + RULES + SPEED + CURVES,
        FIGURE + TABLE * 2 + RULES + SPEED + CURVES + SHELF,
        FIGURE.replace("begin", "end") + TABLE + RULES + SPEED + CURVES + SHELF,
    ],
)
def test_a_readme_without_its_marks_is_named(tmp_path: Path, text: str) -> None:
    path = files.write_text(tmp_path / "README.md", text)
    with pytest.raises(InputError, match=r"README\.md: needs one"):
        readme.update_readme(path, demo(tmp_path))
    assert path.read_text() == text


def test_every_rule_has_a_row_with_what_was_measured(tmp_path: Path) -> None:
    effects = {one.name: f"effect of {one.name}" for one in official.DEVIATIONS}
    measured = {"effects": effects, "images": 21, "objects": 1435, "splits": ["train", "val"]}
    files.write_json(tmp_path / "deviations.json", measured)
    table = readme.readme_deviations(tmp_path).splitlines()
    assert len(table) == 2 + len(official.DEVIATIONS) + 2
    assert "| `connectivity=4` | Windows join into a region over their sides only. |" in table[10]
    assert table[10].endswith("| effect of connectivity |")
    assert "21 images of VisDrone (train, val; 1,435 objects)" in table[-1]


def test_measurements_of_other_rules_are_named(tmp_path: Path) -> None:
    files.write_json(tmp_path / "deviations.json", {"effects": {}, "images": 1})
    with pytest.raises(InputError, match=r"deviations\.json: .* `dmnet deviations"):
        readme.readme_deviations(tmp_path)


# What was found, how far it reaches, and what failed.


def evaluated(base: Path, *, splits: str = "train val test", **more: object) -> str:
    """Return the page of an experiment whose only stage is an evaluation."""
    folder = stage(base.parent / "results" / "x" / "06_evaluation" / "k", [])
    roles = dict(zip(("train_split", "val_split", "test_split"), splits.split(), strict=True))
    about = {"dataset": "visdrone", "data_root": "data/x", "seed": 7, **roles}
    files.write_text(folder / "params.yaml", "".join(f"{n}: {v}\n" for n, v in about.items()))
    metrics = {"strategies": STRATEGIES, "baselines": {"global": "global"}, "images": 12}
    files.write_json(folder / "metrics.json", metrics | {"split": roles["test_split"]} | more)
    stages = {"06_evaluation": {"key": "k", "headline": {}}}
    files.write_json(base.parent / "results" / "x" / "latest.json", {"stages": stages})
    return pages.write_experiment(base.parent / "results" / "x", base_path=base).read_text()


VERDICT = {"tone": "wins", "sentence": "`a <b>` beats `c`.", "against": ["Few images."]}
WORST = {
    "worst": [{"image": "<i>", "objects": 3, "hits": 1, "missed": 2, "false": 0, "right": 1 / 3}],
    "worst_of": {"strategy": "density", "min_score": 0.5},
}


def test_an_evaluated_page_starts_with_the_verdict_then_table_contents_and_limits(
    base: Path,
) -> None:
    picture = base.parent / "results" / "x" / "06_evaluation" / "k" / "figures" / "worst.png"
    files.write_bytes(picture, b"png")
    picture.parent.parent.joinpath("figures").rename(base.parent / "kept")
    picture.parent.parent.rmdir()  # `stage` makes it
    page = evaluated(base, verdict=VERDICT, words=["`a` is best."], **WORST)
    assert "Worst images" not in page  # without its picture there is nothing to look at
    (base.parent / "kept").rename(picture.parent)
    page = pages.write_experiment(base.parent / "results" / "x", base_path=base).read_text()
    order = ("<h1>", "<code>a &lt;b&gt;</code> beats", "Few images.", "<caption>Main strategies",
             "All findings in words", "Contents", "<h2>Evaluation setup", "Worst images", "cG5n",
             "&lt;i&gt;", "<section")  # fmt: skip
    places = [page.index(text) for text in order]
    assert places == sorted(places)
    assert '<th scope="row">density</th><td class="num">31.3</td>' in page
    assert 'class="box verdict wins"' in page
    assert "12 images" in page
    assert "seed 7" in page


def test_a_test_split_that_was_learned_on_is_told_in_red(base: Path) -> None:
    page = evaluated(base, splits="train val train+val")
    assert '"bad">The test split holds <code>train</code> and <code>val</code>: read every' in page


def test_a_test_split_that_nothing_saw_is_told_so(base: Path) -> None:
    page = evaluated(base)
    assert 'class="bad"' not in page
    assert "nothing was on <code>test</code>" in page


def test_an_older_run_without_a_verdict_still_shows_its_table(base: Path) -> None:
    page = evaluated(base)
    assert "<h2>Verdict" not in page
    assert "Main strategies on test" in page
    assert "seed 7" in page


def test_a_stage_whose_notebook_was_not_kept_still_has_its_heading(base: Path) -> None:
    home = experiment(base)
    (home / "02_b" / "k1" / "notebook.ipynb").unlink()
    page = pages.write_experiment(home, base_path=base).read_text()
    assert '<section id="02_b"><h2>02_b</h2><p>Its notebook was not kept' in page
    assert '<a href="#02_b">02_b</a>' in page


def failed(base: Path, cells: list, **error: str) -> tuple[str, str]:
    """Return the page of an experiment with a failed stage, and of that stage."""
    home = experiment(base)
    folder = stage(home / "failed" / "02_b", cells)
    files.write_json(folder / "error.json", {"message": "KeyError: 'x'"} | error)
    written = (
        pages.write_experiment(home, base_path=base),
        pages.write_stage(folder, base_path=base),
    )
    return tuple(page.read_text() for page in written)


def broken_cells(status: str, outputs: list) -> list:
    """Return cells as papermill leaves them, of which the second of three code cells broke."""
    heading = nbformat.v4.new_markdown_cell("# Title\n\n## 1. Before\n\n### The <step>")
    note = nbformat.v4.new_markdown_cell("An Exception was encountered")
    note.metadata.tags = ["papermill-error-cell-tag"]
    said = output("stream", name="stderr", text="epoch 1\repoch 2\nlast <words>\n")
    found = [note, code("x = 1", [said]), heading, code("y = 2\nz = x[y]", outputs),
             code("never = 1", [])]  # fmt: skip
    for cell, state in zip(found, (None, "completed", "completed", status, "pending"), strict=True):
        cell.metadata.papermill = {"status": state} if state else {}
    found.insert(1, code("seed = 3", [], ["injected-parameters"]))
    return found


RAISED = nbformat.v4.new_output(
    "error", ename="KeyError", evalue="'x'",
    traceback=["\x1b[36mCell\x1b[39m\x1b[36m \x1b[39m\x1b[32mIn[4]\x1b[39m, line 2\n  1 y = 2"],
)  # fmt: skip


def test_a_failure_names_stage_cell_line_error_command_and_log(base: Path) -> None:
    cells = broken_cells("failed", [RAISED])
    for page in failed(base, cells, command="dmnet run params/<x>.yaml"):
        box = page[page.index("Failed: 02_b") :]
        assert "KeyError: &#39;x&#39;" in box
        assert "Code cell 2 of 3, under “The &lt;step&gt;”, line 2:" in box
        assert "    1  y = 2\n→   2  z = x[y]" in box
        assert "<code>dmnet run params/&lt;x&gt;.yaml</code>" in box
        assert "epoch 2\nlast &lt;words&gt;" in box
        for absent in ("epoch 1", "never = 1", "An Exception was encountered", "\x1b"):
            assert absent not in page


def test_a_kernel_that_died_is_traced_to_its_cell(base: Path) -> None:
    page, _ = failed(base, broken_cells("running", []))
    assert "Code cell 2 of 3, under “The &lt;step&gt;”:" in page
    assert "rerun with the same command" in page


def test_a_failure_after_all_cells_says_so(base: Path) -> None:
    page, alone = failed(base, [code("x = 1", [])])
    assert "Every cell ran; what came after them failed." in page
    assert "<title>Failed: 01_a · x</title>" in alone
    (base.parent / "results" / "x" / "failed" / "02_b" / "notebook.ipynb").unlink()
    home = base.parent / "results" / "x"
    assert "was not kept" in pages.write_experiment(home, base_path=base).read_text()


PANDAS = """<div><style scoped>x</style><table border="1" class="dataframe"><thead>
<tr style="text-align: right;"><th></th><th>AP</th><th>what</th></tr></thead><tbody>
<tr><th>a</th><td>+0.1 [0.0, 0.2]</td><td>{long}</td></tr></tbody></table></div>"""


PLAIN = "<table><tr><th>p</th></tr><tr><td>v</td></tr></table>"


def test_a_table_gets_a_caption_scopes_and_numbers_to_the_right(base: Path) -> None:
    cells = [
        nbformat.v4.new_markdown_cell("# T\n\n## 1. Step\n\n|a|b|\n|-|-|\n|x|2|"),
        code("t", [output("display", text_html=PANDAS.format(long="word " * 9))]),
        code("p", [output("display", text_html=PLAIN)]),
    ]
    page = page_of(base, cells)
    assert page.count("<caption>Table 1: 1. Step</caption>") == 1
    assert (
        '<caption>Table 2: 1. Step</caption><thead>\n<tr style="text-align: right;"><td></td>'
        in page
    )
    assert '<th class="num" scope="col">AP</th><th scope="col">what</th>' in page
    assert '<th scope="row">a</th><td class="num">+0.1 [0.0, 0.2]</td><td class="long">' in page
    assert '<thead><tr><th scope="col">p</th></tr></thead><tr><td>v</td></tr>' in page
    assert '<td class="num">2</td>' in page.replace("\n", "")
    assert "<style scoped" not in page
    assert page.count('class="scroll"') >= 3


@pytest.mark.parametrize(
    "text", ["1", "-0.5", "+1.2 [0.3, 2.1]", "1,204", "12%", "-", "n/a", "1e-05"]
)
def test_numbers_are_told_from_words(text: str) -> None:
    assert Table(("a",), [(text,)]).kinds == ["num"]
    assert Table(("a",), [(text,), ("2x3",)]).kinds == [""]
