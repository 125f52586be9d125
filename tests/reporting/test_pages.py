import re
from pathlib import Path

import nbformat
import pytest

from dmnet_lib.core import files
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.reporting.pages import index, pages
from dmnet_lib.reporting.pages.render import Table

BASE = (
    "common:\n  seed: 0  # [0, inf) of every draw\n01_a:\n  sigma_px: 15.0  # (0, inf) px, width\n"
)
OUTSIDE = re.compile(
    r"""src=["'](?!data:)|href=["'](?!#|data:|\.\.?/|[\w./-]+\.html)|url\(|https?://"""
)


def output(kind: str, **data: str) -> nbformat.NotebookNode:
    if kind == "stream":
        return nbformat.v4.new_output("stream", **data)
    by_type = {name.replace("_", "/"): value for name, value in data.items()}
    return nbformat.v4.new_output("display_data", data=by_type)


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
    """Return the page of the only stage of an experiment."""
    home = base.parent / "results" / "x"
    stage(home / "01_a" / "k", cells, **about)
    ResultFolder(home).with_stage("01_a", "k", {}).write()
    pages.write_experiment(home, base_path=base)
    return (home / "01_a.html").read_text()


def test_an_empty_notebook_gives_a_whole_page_each_time_the_same(base: Path) -> None:
    page = page_of(base, [])
    assert page.startswith("<!doctype html>")
    assert "<title>01_a · x</title>" in page
    assert not OUTSIDE.search(page)
    again = pages.write_experiment(base.parent / "results" / "x", base_path=base)
    assert again.with_name("01_a.html").read_text() == page


def test_published_detections_are_linked_from_their_stage(base: Path) -> None:
    folder = stage(base.parent / "x" / "06_evaluation" / "k", [])
    files.write_json(folder / "metrics.json", {})
    home = ResultFolder(folder.parents[1]).with_stage("06_evaluation", "k", {}).write().parent
    pages.write_experiment(home, base_path=base)
    assert "COCO results" not in (home / "06_evaluation.html").read_text()
    files.write_text(folder / "detections" / "planned_mcnn_6.json", "[]\n")
    pages.write_experiment(home, base_path=base)
    place = "06_evaluation/k/detections/planned_mcnn_6.json"
    link = f'<a href="{place}">planned_mcnn_6.json</a>'
    assert link in (home / "06_evaluation.html").read_text() and (home / place).exists()


def test_no_experiment_gives_an_empty_list(tmp_path: Path) -> None:
    assert "<h1>Runs</h1>" in index.write_index(tmp_path).read_text()
    assert index.write_readme(tmp_path).read_text().count("\n|") == 2


def test_a_page_shows_results_and_leaves_progress_out(base: Path) -> None:
    figure = '<figure><img alt="F" src="data:image/png;base64,AA=="/></figure>'
    widget = {"application_vnd.jupyter.widget-view+json": "{}", "text_plain": "HBox(bar)"}
    outputs = [
        output("stream", name="stdout", text="<told>\n"),
        output("stream", name="stderr", text="loading 10%"),
        output("display", text_html=figure, text_plain="Figure(1)"),
        output("display", **widget),
        output("display", application_javascript="alert(1)", text_plain="Javascript object"),
        output("display", image_png="AA=="),
    ]
    outputs[-1].metadata = {"image/png": {"alt": "a curve"}}
    page = page_of(base, [code("shown = 1", outputs)])
    picture = figure.removesuffix("</figure>")
    assert f"{picture}<figcaption>Figure 1.1. </figcaption></figure>" in page
    assert 'alt="a curve"' in page
    assert "&lt;told&gt;" in page
    for absent in ("loading 10%", "Figure(1)", "HBox", "alert(1)"):
        assert absent not in page
    assert not OUTSIDE.search(page)


def test_code_is_folded_and_tags_are_honoured(base: Path) -> None:
    said = [output("stream", name="stdout", text="result")]
    tagged = code("hidden_name", said, ["remove-input"]), code("gone", [], ["remove-cell"])
    page = page_of(base, [code("folded", []), *tagged])
    assert page.count('<details class="code">') == 1
    assert "folded" in page and "result" in page
    assert "hidden_name" not in page and ">gone<" not in page


def test_a_parameter_that_differs_is_marked_in_words(base: Path) -> None:
    page = page_of(base, [], sigma=4.0)
    cells = '<td>01_a</td><td>sigma_px</td><td class="num">4</td><td>15 (changed)</td>'
    assert f'<tr class="changed">{cells}' in page
    assert page.count('class="changed"') == 1


def experiment(base: Path, name: str = "x", **metrics: object) -> Path:
    home = base.parent / "results" / name
    entry = {"key": "k1", "headline": {"AP": 0.41234}}
    cells = [nbformat.v4.new_markdown_cell("# Points\n\nWhy.\n\n## 1. Step\n\n[up](#Points)")]
    for number in ("01_a", "02_b"):
        stage(home / number / "k1", cells, upstream={"01_a": "k1"} if number == "02_b" else {})
    stages = {"01_a": {"key": "k1", "headline": {}}, "02_b": entry}
    about = {"question": "Is it <so>?", "changed": {"01_a": {"sigma_px": 4.0}}, "stages": stages}
    files.write_json(home / "latest.json", about)
    return home


def test_an_experiments_page_leads_with_its_question_and_headline(base: Path) -> None:
    page = pages.write_experiment(experiment(base), base_path=base).read_text()
    places = [
        page.index(text)
        for text in ("Is it &lt;so&gt;?", "0.4123", ">Method", "<p>Why.", "01_a.html#1.-Step")
    ]
    assert places == sorted(places)
    anchors = re.findall(r'id="([^"]+)"', page)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(anchors)
    for stage_page, anchor in re.findall(r'href="(\d\d_\w+.html)#([^"]+)"', page):
        assert f'id="{anchor}"' in (base.parent / "results" / "x" / stage_page).read_text()
    assert page.count("<h1") == 1
    assert not OUTSIDE.search(page)


def test_what_was_made_from_an_older_run_is_called_out_of_date(base: Path) -> None:
    home = experiment(base)
    assert "Out of date" not in pages.write_experiment(home, base_path=base).read_text()
    ResultFolder.read(home).with_stage("01_a", "k2", {}).write()
    assert pages.write_experiment(home, base_path=base).read_text().count("Out of date") == 1


def test_the_index_lists_experiments_but_git_keeps_no_values_of_sweeps(base: Path) -> None:
    homes = [experiment(base, name) for name in ("x-sigma", "y|z", "x-sigma-4")]
    files.write_json(homes[0] / "sweep.json", {"runs": [{"experiment": "x-sigma-4"}]})
    results = base.parent / "results"
    page, listed = (write(results).read_text() for write in (index.write_index, index.write_readme))
    assert '<a href="y|z/report.html">y|z</a>' in page and "x-sigma-4" in page
    assert (results / "y|z" / "report.html").exists()  # or the link would be dead
    told = "| x-sigma | Is it &lt;so>? |  | n/a | n/a | n/a | n/a | 01_a.sigma_px: 4 |"
    assert told in listed and "x-sigma-4" not in listed
    assert "y\\|z" in listed


STRATEGIES = {
    "global": {"AP": 0.25, "crops_per_image": 0.0, "megapixels": 0.23},
    "density": {
        "AP": 0.3126, "crops_per_image": 3.25, "megapixels": 0.91, "containment_rate": 0.9,
        "vs_global": {"difference": 0.0626, "low": 0.041, "high": 0.08},
        "vs_uniform": {"difference": -0.004, "low": -0.01, "high": 0.002},
    },
}  # fmt: skip


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


def test_an_evaluated_page_starts_with_the_verdict_then_front_and_table(
    base: Path,
) -> None:
    page = evaluated(base, verdict=VERDICT)
    order = (
        "<h1>",
        "<code>a &lt;b&gt;</code> beats",
        "Few images.",
        "AP over megapixels",
        "<caption>The methods",
        ">Evaluation setup",
        ">Method",
    )
    places = [page.index(text) for text in order]
    assert places == sorted(places)
    assert "AP over seconds" not in page and "gallery.html" not in page  # they were not kept
    named = 'density<span class="note">a strategy of its own</span>'
    row = '<td class="num">31.3</td><td class="num">n/a</td>'
    assert named in page and row in page
    assert 'class="box verdict wins"' in page
    assert "12 images" in page
    assert "seed 7" in page


def test_the_verdict_s_strategy_is_shown_whatever_its_setting(base: Path) -> None:
    main, told = ["global"], VERDICT | {"strategy": "density", "rival": "global"}
    page = evaluated(base, main=main, verdict=told)
    assert '<tr class="changed"><th scope="row"><span class="swatch"' in page
    assert ">31.3</td>" in page.partition("All settings")[0]  # density's AP, in the short table


ERRORS = [
    {"kind": "missed", "errors": 4, "AP50_cost": 0.25, "low": 0.1, "high": 0.3},
    {"kind": "truncated", "errors": 1200, "AP50_cost": 0.31, "low": None, "high": None},
]
OPERATING = {
    "strategy": "density", "score": 0.43, "f1": 0.612, "held_out_f1": 0.598,
    "scores": {"density": {"score": 0.43, "f1": 0.612, "held_out_f1": 0.598}},
    "by_class": [{"class": "car", "objects": 9, "TP": 6, "FP": 2, "FN": 3, "precision": 0.75,
                  "recall": 0.667, "f1": 0.7059, "best_score": None}],
    "confusion": {"classes": ["car", "bus"], "cells": [[6, 1, 2], [0, 3, 0], [5, 1, 0]]},
}  # fmt: skip
CAR = {"objects": 9, "found": 0.667, "half_px": 8.5, "smaller": 0.2}
SMALL = {"half_at_px": {"density": 11.25, "global": None}, "share_below": {"density": 0.31},
         "by_class": {"car": CAR}}  # fmt: skip


def test_errors_the_score_to_deploy_and_the_smallest_objects_have_a_section_each(
    base: Path,
) -> None:
    more = {"errors": {"density": ERRORS}, "operating": OPERATING, "small": SMALL}
    page = evaluated(base, verdict=VERDICT | {"strategy": "density"}, **more)
    assert page.index("truncated<span") < page.index("missed<span")  # the most costly first
    assert '<td class="num">+25.0 [+10.0, +30.0]</td>' in page and "1,200" in page
    assert "<strong>0.43</strong>" in page and "61.2 %" in page and "59.8 %" in page
    assert ">background</th>" in page and ">missed</th>" in page and ">70.6</td>" in page
    cells = "".join(f'<td class="num">{cell}</td>' for cell in ("0.43", "61.2", "11.2", "31.0"))
    assert f'<th scope="row">density</th>{cells}' in page
    cells = "".join(f'<td class="num">{cell}</td>' for cell in ("9", "66.7", "8.5", "20.0"))
    assert f'<th scope="row">car</th>{cells}' in page
    for section in ("errors", "deploy", "small"):
        assert f'id="{section}"' in page and f'href="#{section}"' in page


def test_a_detector_that_finds_too_little_for_a_score_has_its_page(base: Path) -> None:
    found_little = {name: OPERATING[name] for name in ("strategy", "by_class", "confusion")}
    page = evaluated(base, operating=found_little | {"score": 0.5, "scores": {}})
    assert "right to choose a score by: the table counts those from 0.50 on" in page


def test_a_test_split_that_was_trained_on_is_marked_in_red(base: Path) -> None:
    page = evaluated(base, splits="train val train+val")
    assert '"bad">The test split contains <code>train</code> and <code>val</code>: every' in page


def test_an_older_run_without_a_verdict_still_shows_its_table_and_how_splits_were_used(
    base: Path,
) -> None:
    page = evaluated(base)
    assert "Verdict" not in page
    assert "Strategies on test" in page and "seed 7" in page
    assert 'class="bad"' not in page and "neither on <code>test</code>" in page


def test_a_stage_whose_notebook_was_not_kept_still_has_its_heading(base: Path) -> None:
    home = experiment(base)
    (home / "02_b" / "k1" / "notebook.ipynb").unlink()
    page = pages.write_experiment(home, base_path=base).read_text()
    assert '<a href="02_b.html">02 b</a>' in page
    assert "<h1>02_b · x</h1>\n<p>Its notebook was not kept" in (home / "02_b.html").read_text()


def failed(base: Path, cells: list, **error: str) -> tuple[str, str]:
    """Return the page of an experiment with a failed stage, and of that stage."""
    home = experiment(base)
    folder = stage(home / "failed" / "02_b", cells)
    files.write_json(folder / "error.json", {"message": "KeyError: 'x'"} | error)
    page = pages.write_experiment(home, base_path=base).read_text()
    return page, pages.write_failed(folder, base_path=base).read_text()


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
    home = base.parent / "results" / "x"
    (home / "failed" / "02_b" / "notebook.ipynb").unlink()
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
    assert page.count("<caption>Table 1.1. Step</caption>") == 1
    head = '<thead>\n<tr style="text-align: right;"><td></td>'
    assert f"<caption>Table 1.2. Step, continued</caption>{head}" in page
    assert '<th class="num" scope="col">AP</th><th scope="col">what</th>' in page
    assert '<th scope="row">a</th><td class="num">+0.1 [0.0, 0.2]</td><td class="long">' in page
    assert '<thead><tr><th scope="col">p</th></tr></thead><tr><td>v</td></tr>' in page
    assert '<td class="num">2</td>' in page.replace("\n", "")
    assert "<style scoped" not in page
    assert page.count('class="scroll"') >= 3


def test_numbers_are_told_from_words() -> None:
    for text in ("1", "-0.5", "+1.2 [0.3, 2.1]", "1,204", "12%", "-", "n/a", "1e-05"):
        assert Table(("a",), [(text,)]).kinds == ["num"], text
        assert Table(("a",), [(text,), ("2x3",)]).kinds == [""], text


def test_markdown_of_a_table_holds_no_links_and_no_tags() -> None:
    rows = [("![a](http://b.c)", "<b>x</b>|y", "+0.1 [-0.1, +0.3]")]
    text = Table(("q", "r", "s"), rows).markdown()
    assert text.splitlines()[2] == (
        r"| ![a]\(http://b.c) | &lt;b>x&lt;/b>\|y | +0.1 [-0.1, +0.3] |"
    )
