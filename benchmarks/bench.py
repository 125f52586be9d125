"""`make bench`: every figure of speed, beside a reference implementation, in one run.

    python benchmarks/bench.py [--only NAME …] [--quick] [--largest 100000] [--demo] [--strict]

Prints a row a figure and writes benchmarks/results.json, of which `make docs` makes
docs/speed.md. With --only the other benchmarks' rows stay as they were, if they are of this machine
and these versions. A benchmark whose result is not the reference's ends the run.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import detections_at_scale
import explorers
import measure
import planned
import preparation
from measure import Plan, Row, Run, Spread

from dmnet_lib.core import files, parallel, provenance
from dmnet_lib.core.files import InputError

OUT = files.ROOT / "benchmarks" / "results.json"


def crop_export(plan: Plan) -> list[Row]:
    """Writing the sample's crops, beside a bare loop that decodes and encodes them."""
    sizes = {"runs": plan.runs or 1, "repeat": 1 if plan.is_quick else 10, "jobs": parallel.cores()}
    found = json.loads(_alone(f"export.measure(**{sizes!r})", "export").said.splitlines()[-1])
    ours, other = (
        Spread.of([found["crops"] / taken for taken in found["times"][name]])
        for name in ("export", "bare")
    )
    what = f"crop export, {found['images']} images, {found['crops']} crops"
    told = "bare loop that decodes and encodes, as many processes, no files"
    return [Row(what, "crops/s", ours, other, told, least_ratio=0.8, rate=True)]


def training(plan: Plan) -> list[Row]:
    """Training steps of both networks, beside a plain loop, in a process of their own."""
    sizes = {"rounds": 1, "steps": 2, "images": 2} if plan.is_quick else {}
    folder = f"pathlib.Path({str(plan.fresh('training'))!r})"
    run = _alone(f"training.measure({folder}, **{sizes!r})", "training", watched=True)
    return training_rows(json.loads(run.said.splitlines()[-1]), run.peak_mb)


def _alone(call: str, module: str, *, watched: bool = False) -> Run:
    """Print what a call returns in a process of its own: workers import no other benchmark."""
    code = f"import json, pathlib, {module}; print(json.dumps({call}))"
    place = {"PYTHONPATH": f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    return measure.command(sys.executable, "-c", code, watched=watched, environment=place)


def training_rows(found: dict[str, dict], peak_mb: float) -> list[Row]:
    """Return a row for each network of what `training.measure` returns."""
    return [
        Row(f"training steps, {name}", "steps/s", Spread.of(rates["ours"]),
            Spread.of(rates["plain"]), "a loop as tutorials have it", peak_mb,
            least_ratio=1.5, rate=True,
            note=f"convolutions take {rates['convolutions']:.0%} of a step")
        for name, rates in found.items()
    ]  # fmt: skip


def demo(plan: Plan) -> list[Row]:
    """`make demo` from nothing, its set-up done before."""
    experiment = files.ROOT / "params" / ("tiny.yaml" if plan.is_quick else "demo.yaml")
    run = measure.dmnet("run", experiment, environment={"DMNET_RESULTS_ROOT": str(plan.fresh("d"))})
    return [Row("`make demo`, after the set-up", "s", Spread.of([run.seconds]), most=480)]


BENCHMARKS: dict[str, Callable[[Plan], list[Row]]] = {
    "start": preparation.start,
    "crops": preparation.crops_of_splits,
    "preparation": preparation.preparation,
    "conversion": preparation.check_and_convert,
    "export": crop_export,
    "planning": planned.planned,
    "explorers": explorers.explorers,
    "fusion": detections_at_scale.fusion,
    "evaluation": detections_at_scale.evaluation,
    "training": training,
    "growth": preparation.growth,
}
QUICK = {
    "runs": 0, "few": 0, "train": 12, "val": 6, "sample": 1, "searched": 1, "growth": (4, 8),
    "whole": 40, "local": 40, "is_quick": True,
}  # fmt: skip


def main() -> int:
    """Measure what is asked for; return the exit status."""
    chosen = _arguments()
    names = chosen.only or list(BENCHMARKS)
    names += ["demo"] if chosen.demo and "demo" not in names else []
    found = {}
    with tempfile.TemporaryDirectory(prefix="dmnet-bench-") as folder:
        plan = _plan(Path(folder), chosen)
        for name in names:
            start = time.perf_counter()
            rows = (BENCHMARKS | {"demo": demo})[name](plan)
            found[name] = [row.json() for row in rows]
            print(f"{name} ({time.perf_counter() - start:.0f} s)", flush=True)
            for row in found[name]:
                print(f"  {' | '.join(measure.cells(row))}", flush=True)
    out = chosen.out or (None if chosen.quick else OUT)
    if out:
        files.write_json(out, _with_others(out, found) if chosen.only else _results(found))
        print(f"{out}: written; `make docs` makes docs/speed.md of it")
    missed = [row["what"] for rows in found.values() for row in rows if row.get("held") is False]
    for what in missed:
        print(f"limit missed: {what}")
    return int(bool(missed) and chosen.strict)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--only", nargs="+", choices=[*BENCHMARKS, "demo"], metavar="NAME",
        help=f"of {', '.join([*BENCHMARKS, 'demo'])}")  # fmt: skip
    add("--quick", action="store_true", help="tiny sizes, one run each: does it work?")
    add("--largest", type=int, default=10_000, metavar="N", help="files at the end of growth")
    add("--demo", action="store_true", help="run the whole demo too (minutes)")
    add("--strict", action="store_true", help="exit with 1 where a limit is missed")
    add("--out", type=Path, metavar="FILE", help=f"default {OUT.name}; none with --quick")
    return parser.parse_args()


def _plan(home: Path, chosen: argparse.Namespace) -> Plan:
    if chosen.quick:
        return Plan(home, **QUICK)
    standard = Plan.growth
    more = (chosen.largest,) if chosen.largest > standard[-1] else ()
    return Plan(home, growth=(*standard, *more))


def _results(found: dict[str, list]) -> dict[str, object]:
    versions = {"python": platform.python_version()} | provenance.versions()
    listed = [{"name": name, "rows": rows} for name, rows in found.items()]
    return {"machine": measure.machine(), "versions": versions, "benchmarks": listed}


def _with_others(out: Path, found: dict[str, list]) -> dict[str, object]:
    """Return the results with those that out has of other benchmarks. Raises InputError."""
    made = _results(found)
    if out.is_file():
        before = files.read_json(out)
        if any(before[key] != made[key] for key in ("machine", "versions")):
            raise InputError(f"{out}: of another machine or versions; measure all benchmarks")
        others = {one["name"]: one["rows"] for one in before["benchmarks"]}
        made = _results(others | found)
    return made


if __name__ == "__main__":
    sys.exit(main())
