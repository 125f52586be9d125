"""Results in, the Markdown between the marks of the README out: tables and figures."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dmnet_lib.core import files, official, params
from dmnet_lib.core.files import InputError
from dmnet_lib.core.result_folder import DETECTION, EVALUATION, METRICS, ResultFolder
from dmnet_lib.reporting.pages import findings
from dmnet_lib.reporting.pages.render import Table

DEVIATIONS_FILE = "deviations.json"  # what `dmnet deviations --out` writes
BENCH_FILE = "benchmarks/results.json"  # what `make bench` writes, beside the README
PLANS_FILE = "benchmarks/plans.json"  # what `benchmarks/plans.py` writes
BENCH_VERSIONS = ("python", "numpy", "torch", "simplejpeg", "faster-coco-eval")
PLANS_ABOUT = (
    "{images} images of VisDrone's {split}, {objects:,} objects, by their annotations alone: "
    "*predicted recall* is the share of objects found if each counts with what the recall curve "
    "({curve_of}) says of the largest view that holds it whole; views are at most {input_px} px "
    "large. Crops and megapixels (of views with their own areas, the whole image's among them) are "
    "per image. *Cut of bought*: objects that a crop was to show better and cuts. The last two "
    "columns are what planned crops are expected to find at the same cost on every image. Rates "
    "and shares in percent."
)
BENCH_ABOUT = (
    "Measured by `make bench` on {cores} cores of {processor} with {memory_gb} GB ({versions}): "
    "medians, least and greatest of several runs. Commands count from their start to their end, "
    "memory is that of all their processes."
)
OFF_THE_SHELF = "visdrone_offtheshelf"
IMAGES = {
    "demo": "synthetic",
    OFF_THE_SHELF: "VisDrone",
}  # of the experiments that the README shows
CURVES = (
    "AP, AP50 and APs of every strategy over its crops and its megapixels per image, on {images} "
    "{kind} images ({split}), by COCO's protocol at {most} detections an image and class; bands "
    "are {level:.0%} intervals of a bootstrap over images."
)


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    return Table(head, rows).markdown()


def readme_table(results: Path) -> str:
    """Return the Markdown table of the demo's strategies. InputError where there are none."""
    metrics = _evaluated(results / "demo")[1]
    if not metrics:
        raise InputError(
            f"{params.shown(results / 'demo')}: run `dmnet run params/demo.yaml` first"
        )
    return _strategies(metrics)


def readme_off_the_shelf(results: Path) -> str:
    """Return the same of a detector that never saw VisDrone, on its images, all and by parts."""
    metrics = _evaluated(results / OFF_THE_SHELF)[1]
    if not metrics:
        return "Not measured yet.\n"
    parts = [_part(part, rows, metrics) for part, rows in metrics.get("subsets", {}).items()]
    return "\n".join([_strategies(metrics), *parts])


def _part(part: str, rows: Mapping[str, dict], metrics: Mapping[str, object]) -> str:
    """Return the Markdown table of one part of the split, in points."""
    others = {f"vs_{key}": f"vs {name}" for key, name in metrics["baselines"].items()}
    cells = [
        (name, *(_percent(rows[name][key]) for key in ("AP", "AP50", "APs")),
         *(_points_with_bounds(rows[name], key) for key in others))
        for name in metrics["main"]
    ]  # fmt: skip
    head = (f"{part} alone", "AP", "AP50", "APs", *others.values())
    return markdown(head, cells)


def _points_with_bounds(row: Mapping[str, float | None], key: str) -> str:
    """Return a difference of AP with its interval, in points."""
    values = [row.get(f"{key}_{bound}") for bound in ("difference", "low", "high")]
    if None in values:
        return "-"
    middle, low, high = (100 * value for value in values)
    return f"{middle:+.1f} [{low:.1f}, {high:.1f}]"


def readme_curves(results: Path, *, seen_from: Path) -> str:
    """Return the Markdown of what each budget buys, a figure and a sentence an experiment."""
    shown = []
    for name, kind in IMAGES.items():
        folder, metrics = _evaluated(results / name)
        path = folder / "figures" / "budgets.png"
        if path.exists():
            about = {key: metrics[key] for key in ("images", "split", "level")}
            most = metrics["strategies"]["global"]["max_detections"]
            caption = CURVES.format(**about, kind=kind, most=most)
            shown.append(
                f"{_picture('AP over crops and megapixels', path, seen_from)}\n{caption}\n"
            )
    return "\n".join(shown) or "Not measured yet.\n"


def _evaluated(home: Path) -> tuple[Path, dict]:
    """Return the folder of an experiment's evaluation and its metrics; none before it was run."""
    folder = ResultFolder.read(home).folders.get(EVALUATION)
    return folder or home, files.read_json(folder / METRICS) if folder else {}


def _strategies(metrics: Mapping[str, dict]) -> str:
    return f"{findings.strategies(metrics).markdown()}\n{findings.units(metrics)}\n"


def readme_figure(results: Path, *, seen_from: Path) -> str:
    """Return the Markdown of the README's figure: what crops add, on test images of the demo."""
    home = results / "demo"
    path = ResultFolder.read(home).folders.get(DETECTION, home) / "figures" / "fused.png"
    if not path.exists():
        raise InputError(f"{params.shown(path)}: missing; run `dmnet run params/demo.yaml` first")
    about = "Test images with the detections of one pass, and with those of density crops"
    return _picture(about, path, seen_from)


def _picture(about: str, path: Path, seen_from: Path) -> str:
    return f"![{about}]({Path(os.path.relpath(path, seen_from)).as_posix()})\n"


def readme_deviations(results: Path) -> str:
    """Return, as Markdown, what the released scripts do otherwise and what it changes."""
    path = results / DEVIATIONS_FILE
    if not path.is_file():
        return "Not measured yet.\n"
    measured = files.read_json(path)
    known = {one.name for one in official.DEVIATIONS}
    if not isinstance(measured, dict) or set(measured.get("effects", ())) != known:
        raise InputError(f"{path}: of other rules; run `dmnet deviations ROOT --out {path}` again")
    lines = [
        "| rule | the released scripts | corrected | what it changes: corrected → released |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{one.name}={one.other_value}` | {one.official_does} | {one.corrected_does} "
        f"| {measured['effects'][one.name]} |"
        for one in official.DEVIATIONS
    ]
    about = (
        f"Measured on {measured['images']} images of VisDrone ({', '.join(measured['splits'])}; "
        f"{measured['objects']:,} objects), one rule at a time; fusion and evaluation on synthetic "
        "detections."
    )
    return "\n".join([*lines, "", about]) + "\n"


def readme_bench(path: Path) -> str:
    """Return, as Markdown, what `make bench` measured; path is its file, which may be absent."""
    if not path.is_file():
        return "Not measured yet.\n"
    measured = files.read_json(path)
    head = ("what", "here", "the plain way", "times faster", "limit", "memory")
    rows = [bench_cells(row) for one in measured["benchmarks"] for row in one["rows"]]
    about, versions = measured["machine"], measured["versions"]
    told = ", ".join(f"{name} {versions[name]}" for name in BENCH_VERSIONS if name in versions)
    words = BENCH_ABOUT.format(**about, versions=told)
    return f"{markdown(head, rows)}\n{words}\n"


def readme_plans(path: Path) -> str:
    """Return, as Markdown, what `benchmarks/plans.py` measured; path is its file, or absent."""
    if not path.is_file():
        return "Not measured yet.\n"
    measured = files.read_json(path)
    shares = (
        "predicted_recall",
        "containment_rate",
        "truncated_rate",
        "coverage",
        "truncated_targets",
    )
    head = ("strategy", "crops", "megapixels", *(name.replace("_", " ") for name in shares),
            "planned, as many crops", "planned, as many megapixels")  # fmt: skip
    likes = {(row["like"], row["equal"]): row for row in measured["rows"] if row["like"]}
    rows = []
    for row in (row for row in measured["rows"] if not row["like"]):
        beside = [likes.get((row["strategy"], what), {}) for what in ("crops", "megapixels")]
        cost = (f"{row['crops_per_image']:.1f}", f"{row['megapixels_own']:.2f}")
        cells = [_percent(row[name]) for name in shares]
        cells += [_percent(one.get("predicted_recall")) for one in beside]
        rows.append((row["strategy"], *cost, *cells))
    return f"{markdown(head, rows)}\n{PLANS_ABOUT.format(**measured)}\n"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def bench_cells(row: Mapping[str, object]) -> tuple[str, ...]:
    """Return a figure's cells: what, ours, the other way, ratio, limits, peak memory."""
    ours, unit = row["ours"], row["unit"]
    other = f"{_amount(row['other'], unit)}: {row['other_is']}" if "other" in row else "-"
    ratio = _three(row["ratio"]) if "ratio" in row else "-"
    limits = [f"≤ {row['most']:g} {unit}"] if "most" in row else []
    limits += [f"≥ {row['least_ratio']:,g} times"] if "least_ratio" in row else []
    limits += [f"≤ {row['most_mb'] / 1000:g} GB"] if "most_mb" in row else []
    limits += {True: ["held"], False: ["**missed**"]}.get(row.get("held"), [])
    memory = f"{row['peak_mb']:,.0f} MB" if "peak_mb" in row else "-"
    what = f"{row['what']} ({row['note']})" if "note" in row else str(row["what"])
    return what, _amount(ours, unit), other, ratio, ", ".join(limits) or "-", memory


def _amount(spread: Mapping[str, float], unit: str) -> str:
    """Return the median and, in brackets, the least and the greatest."""
    median, low, high = (_three(spread[name]) for name in ("median", "low", "high"))
    return f"{median} {unit}" + (f" ({low} to {high})" if spread["runs"] > 1 else "")


def _three(value: float) -> str:
    """Return a number with three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def update_readme(readme_path: Path, results: Path) -> bool:
    """Replace what stands between the marks of a README; tell whether it changed."""
    text = old = readme_path.read_text(encoding="utf-8")
    figure = readme_figure(results, seen_from=readme_path.parent)
    contents = {
        "figure": figure,
        "results": readme_table(results),
        "curves": readme_curves(results, seen_from=readme_path.parent),
        "offtheshelf": readme_off_the_shelf(results),
        "deviations": readme_deviations(results),
        "bench": readme_bench(readme_path.parent / BENCH_FILE),
        "plans": readme_plans(readme_path.parent / PLANS_FILE),
    }
    for mark, content in contents.items():
        begin, end = f"<!-- {mark}:begin -->", f"<!-- {mark}:end -->"
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise InputError(f"{params.shown(readme_path)}: needs one {begin} before one {end}")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{content}{end}{rest.split(end)[1]}"
    if text != old:
        files.write_text(readme_path, text)
    return text != old
