"""Results and measurements in, the generated pages of docs/ and README's table out: `make docs`.

The pages are written whole, from docs/templates: results.md, fusion.md, plans.md, sahi.md,
official.md, speed.md, glossary.md and licences.md. README.md and scaling.md have generated parts
between marks. The figures that they and README show go to docs/figures; results/README.md lists
the experiments. Run it after experiments and benchmarks.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from dmnet_lib.core import files, official
from dmnet_lib.core.files import ROOT, InputError
from dmnet_lib.core.result_folder import DETECTION, EVALUATION, ResultFolder
from dmnet_lib.evaluation import strategy_table
from dmnet_lib.evaluation.difference import Difference
from dmnet_lib.reporting.pages import findings, index
from dmnet_lib.reporting.pages.render import GLOSSARY, Table

sys.path.insert(0, str(ROOT / "benchmarks"))
sys.path.append(str(ROOT / "docs"))  # last, as notebooks/ has a build.py too
import licences
import measure

DOCS, RESULTS, BENCHMARKS = ROOT / "docs", ROOT / "results", ROOT / "benchmarks"
DEMO, WHOLE, OFF_THE_SHELF = "demo_seeds", "demo_whole_images", "visdrone_offtheshelf"
FIGURES = {  # name in docs/figures: experiment, stage, name of the stage's figure
    "fused": (DEMO, DETECTION, "fused"),
    "demo_budgets": (DEMO, EVALUATION, "budgets"),
    "whole_budgets": (WHOLE, EVALUATION, "budgets"),
    "offtheshelf_budgets": (OFF_THE_SHELF, EVALUATION, "budgets"),
}
README_ROWS = ("global", "sliding 640", "sliding 480", "density mcnn", "planned detector 6")
README_END = "<!-- end -->"  # of what stands after a mark like <!-- results -->
SUBSET_COLUMNS = ("AP", "AP50", "APs")
PLAN_COLUMNS = ("predicted_recall", "containment_rate", "truncated_rate", "coverage",
                "truncated_targets")  # fmt: skip
SAHI_COLUMNS = ("AP", "AP50", "APs", "AP_kept", "vs_best", "calls", "megapixels", "seconds",
                "cpu_seconds", "peak_mb")  # fmt: skip
REHEARSED = "{cpu_seconds:,.0f} s, {peak_gb:.1f} GB"  # of a stage
QUIET_LOAD = 1.5  # of one program, and a little
VERSIONS = ("python", "numpy", "torch", "simplejpeg", "faster-coco-eval")


def page(name: str, **values: object) -> str:
    """Return a generated page from its template in docs/templates."""
    loader = FileSystemLoader(DOCS / "templates")
    made = Environment(loader=loader, trim_blocks=True, keep_trailing_newline=True)
    made.filters["drawn"] = lambda figure: next((DOCS / "figures").glob(f"{figure}.*")).name
    return made.get_template(f"{name}.md.j2").render(values)


def results_page(results: Path) -> str:
    """Return results.md: the demo's strategies, those of a detector that learned from whole images
    alone, and of one off the shelf."""
    metrics = (metrics_of(results, name) for name in (DEMO, WHOLE, OFF_THE_SHELF))
    found = zip(("demo", "whole", "shelf"), map(evaluation, metrics), strict=True)
    return page("results", **dict(found))


def fusion_page(results: Path) -> str:
    """Return fusion.md: what each rule of the fusion is worth, by strategy and detector."""
    metrics = {name: metrics_of(results, name) for name in (DEMO, WHOLE, OFF_THE_SHELF)}
    tables = {name: ablation(one["ablation"]) if one else "" for name, one in metrics.items()}
    return page("fusion", demo=tables[DEMO], whole=tables[WHOLE], shelf=tables[OFF_THE_SHELF])


def ablation(rows: Sequence[Mapping]) -> str:
    """Return one row a strategy: AP with all rules, and what it gains by each other variant."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        has_none = row["difference"] is None
        gain = _percent(row["AP"]) if has_none else Difference.read(row).cell()
        cells.setdefault(row["strategy"], {})[row["variant"]] = gain
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    lines = [(name, *(one[variant] for variant in variants)) for name, one in cells.items()]
    return Table(("strategy", *variants), lines).markdown()


def metrics_of(results: Path, experiment: str) -> dict:
    """Return the metrics of an experiment's evaluation; none before it was run."""
    found = ResultFolder.read(results / experiment)
    return found.metrics(EVALUATION) if EVALUATION in found.stages else {}


def evaluation(metrics: Mapping) -> dict[str, object]:
    """Return what the page shows of an evaluation's metrics; nothing of none."""
    if not metrics:
        return {}
    first = next(iter(metrics["strategies"].values()))
    subsets = metrics.get("subsets", {}).items()
    shown = {key: metrics[key] for key in ("images", "split", "level")}
    shown["resampled"] = metrics.get("resampled", f"{metrics['images']} images")
    shown |= {"max_detections": first.get("max_detections")}
    shown |= {"subsets": {name: subset_table(rows, metrics).markdown() for name, rows in subsets}}
    return shown | {"table": findings.strategies(metrics).markdown()}


def subset_table(rows: Mapping[str, Mapping], metrics: Mapping) -> Table:
    """Return the main strategies on one split of several that were evaluated together."""
    cells = []
    for name in metrics["main"]:
        differences = [Difference.read(rows[name], f"vs_{key}_") for key in metrics["baselines"]]
        shares = [_percent(rows[name][column]) for column in SUBSET_COLUMNS]
        cells.append((name, *shares, *(one.cell() for one in differences)))
    versus = [f"AP vs {name}" for name in metrics["baselines"].values()]
    return Table(("strategy", *SUBSET_COLUMNS, *versus), cells)


def plans_page(path: Path) -> str:
    """Return plans.md from what `benchmarks/plans.py` wrote."""
    measured = files.read_json(path)
    likes = {(row["like"], row["equal"]): row for row in measured["rows"] if row["like"]}
    rows = []
    for row in (row for row in measured["rows"] if not row["like"]):
        same = [likes.get((row["strategy"], cost), {}) for cost in ("crops", "megapixels")]
        shares = [row[name] for name in PLAN_COLUMNS] + [s.get("predicted_recall") for s in same]
        cost = (f"{row['crops_per_image']:.1f}", f"{row['megapixels_own']:.2f}")
        rows.append((row["strategy"], *cost, *(_percent(share) for share in shares)))
    names = [name.replace("_", " ") for name in PLAN_COLUMNS]
    head = ("strategy", "crops", "Mpx", *names, "planned, same crops", "planned, same Mpx")
    return page("plans", table=Table(head, rows).markdown(), **measured)


def sahi_page(path: Path) -> str:
    """Return sahi.md from what `benchmarks/against_sahi.py` wrote."""
    runs = {name: sahi_run(run) for name, run in files.read_json(path).items()}
    return page("sahi", runs=runs, max_detections=500)


def sahi_run(run: Mapping) -> dict[str, object]:
    """Return what the page shows of one detector and its images."""
    has_kept = any(row["AP_kept"] not in (row["AP"], None) for row in run["rows"])
    columns = [name for name in SAHI_COLUMNS if name != "AP_kept" or has_kept]
    cells = [(row["name"], *(sahi_cell(row, name) for name in columns)) for row in run["rows"]]
    heads = {"AP_kept": "AP kept", "vs_best": "vs SAHI's best", "megapixels": "Mpx",
             "seconds": "s", "cpu_seconds": "CPU s", "peak_mb": "MB"}  # fmt: skip
    table = Table(("strategy", *(heads.get(name, name) for name in columns)), cells).markdown()
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    load = [round(value, 1) for value in run["load"]]
    more = {"load": load, "kept": has_kept, "busy": max(run["load"]) > QUIET_LOAD, "table": table}
    return {**run, **more, "versions": versions}


def sahi_cell(row: Mapping, name: str) -> str:
    """Return one cell: a score in percent, a difference in points, or a cost."""
    if name == "vs_best":
        return Difference.read(row[name]).cell()
    if name == "AP":
        low, high = (_percent(end) for end in row["intervals"][name])
        return f"{_percent(row[name])} [{low}, {high}]"
    if name.startswith("AP"):
        return _percent(row[name])
    digits = {"calls": 1, "peak_mb": 0}.get(name, 2)
    return "n/a" if row[name] is None else f"{row[name]:.{digits}f}"


def official_page(path: Path) -> str:
    """Return official.md from what `dmnet deviations` wrote."""
    measured = files.read_json(path)
    known = {one.name for one in official.DEVIATIONS}
    if not isinstance(measured, dict) or set(measured.get("effects", ())) != known:
        again = f"dmnet deviations ROOT --out {path} --overwrite"
        raise InputError(f"{path}: of other rules; run `{again}`")
    rows = [
        (
            f"`{one.name}={one.other_value}`",
            one.official_does,
            one.corrected_does,
            effect(measured, one.name),
        )
        for one in official.DEVIATIONS
    ]
    table = Table(("rule", "official", "corrected", "effect"), rows).markdown()
    return page("official", table=table, **measured)


def effect(measured: Mapping, rule: str) -> str:
    """Return what a rule changes, in words."""
    told = measured["effects"][rule]
    return "no effect" if told == "nothing" else told


def glossary_page() -> str:
    """Return glossary.md: the terms of summary pages."""
    return page("glossary", table=Table(("term", "meaning"), [*GLOSSARY.items()]).markdown())


def speed_page(path: Path) -> str:
    """Return speed.md from what `make bench` wrote."""
    measured = files.read_json(path)
    rows = [measure.cells(row) for one in measured["benchmarks"] for row in one["rows"]]
    head = ("what", "here", "reference", "times faster", "target", "memory")
    known = measured["versions"]
    versions = ", ".join(f"{name} {known[name]}" for name in VERSIONS if name in known)
    table = Table(head, rows).markdown()
    return page("speed", table=table, versions=versions, **measured["machine"])


def rehearsal(path: Path) -> str:
    """Return scaling.md's part from what `benchmarks/rehearsal.py` wrote of three shares."""
    measured = files.read_json(path)
    killed, some, most = measured["shares"]
    runs = list(zip(some["stages"], most["stages"], strict=True))
    rows = [
        (
            whole["stage"],
            *(REHEARSED.format(**one, peak_gb=one["peak_mb"] / 1000) for one in (part, whole)),
            *(f"{whole[of] / part[of]:.1f}" for of in ("cpu_seconds", "peak_mb")),
            f"{whole['page_mb']:.1f} MB",
        )
        for part, whole in runs
    ]
    head = ("stage", *(f"{one['images']:,} images" for one in (some, most)), "time grows",
            "memory grows", "page")  # fmt: skip
    loads = [round(row["load"], 1) for pair in runs for row in pair]
    differ = [row["stage"] for row in killed["stages"] if not row.get("same")]
    about = {"load": (min(loads), max(loads)), "killed": killed["images"], "differ": differ,
             "minutes": round(sum(row["seconds"] for row in most["stages"]) / 60),
             "times": f"{most['images'] / some['images']:.1f}"}  # fmt: skip
    table = Table(head, rows).markdown()
    return page("rehearsal", table=table, **about, **measured["machine"], **measured)


def readme_table(metrics: Mapping) -> str:
    """Return README's table: five strategies of the demo, each compared with sliding windows."""
    rows = {name: metrics["strategies"][name] for name in README_ROWS}
    columns = (*SUBSET_COLUMNS, *strategy_table.COST_COLUMNS)
    table = strategy_table.strategy_table(rows, columns, baselines=("sliding",))
    shown = strategy_table.readable(table, {"sliding": "sliding 640"})
    return Table.of_frame(shown).markdown()


def readme_sahi(path: Path) -> str:
    """Return README's line on each detector: as many planned crops beside SAHI at its best."""
    lines = []
    for name, run in files.read_json(path).items():
        rows = {row["name"]: row for row in run["rows"]}
        ours, best = rows[run["equal"]["calls"]], rows[run["best"]]
        each = [f"AP {_percent(row['AP'])} at {row['calls']:.1f} calls" for row in (ours, best)]
        difference = Difference.read(ours["vs_best"]).cell()
        told = f"*{ours['name']}* has {each[0]}, SAHI at its best {each[1]} ({difference})"
        if ours["AP_kept"] != ours["AP"]:
            kept = " and ".join(_percent(row["AP_kept"]) for row in (ours, best))
            told += f";\n  without the {run['calibrated_on']} images, AP {kept}"
        lines.append(f"- {name}, {run['images']} images: {told}.\n")
    return "".join(lines)


def with_text(readme: str, mark: str, text: str) -> str:
    """Return a page with another text between a mark and its end. InputError without them."""
    begin, end = f"<!-- {mark} -->\n", README_END
    if readme.count(begin) != 1 or end not in readme.partition(begin)[2]:
        raise InputError(f"the page needs one {begin.strip()} before {end}")
    before, _, rest = readme.partition(begin)
    return f"{before}{begin}{text}{end}{rest.partition(end)[2]}"


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{100 * share:.1f}"


def main() -> int:
    """Write all of it; return the exit status."""
    for name, (experiment, stage, figure) in FIGURES.items():
        folder = ResultFolder.read(RESULTS / experiment).folder(stage)
        (DOCS / "figures").mkdir(exist_ok=True)
        for old in (DOCS / "figures").glob(f"{name}.*"):
            old.unlink()
        (picture,) = (p for p in (folder / "figures").glob(f"{figure}.*") if p.suffix != ".csv")
        shutil.copyfile(picture, DOCS / "figures" / f"{name}{picture.suffix}")
    pages = {
        "results": results_page(RESULTS),
        "fusion": fusion_page(RESULTS),
        "plans": plans_page(BENCHMARKS / "plans.json"),
        "sahi": sahi_page(BENCHMARKS / "against_sahi.json"),
        "official": official_page(RESULTS / "deviations.json"),
        "speed": speed_page(BENCHMARKS / "results.json"),
        "glossary": glossary_page(),
        "licences": page("licences", table=licences.table(files.read_text(DOCS / "licences.md"))),
    }
    for name, text in pages.items():
        files.write_text(DOCS / f"{name}.md", text)
    index.write_readme(RESULTS)
    readme = ROOT / "README.md"
    text = with_text(readme.read_text("utf-8"), "results", readme_table(metrics_of(RESULTS, DEMO)))
    text = with_text(text, "sahi", readme_sahi(BENCHMARKS / "against_sahi.json"))
    files.write_text(readme, text)
    scaling = DOCS / "scaling.md"
    text = rehearsal(BENCHMARKS / "rehearsal.json")
    files.write_text(scaling, with_text(scaling.read_text("utf-8"), "rehearsal", text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
