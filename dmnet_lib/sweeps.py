"""A parameter file and values of one parameter in, an experiment a value and their comparison out.

Each experiment is a parameter file of its own in the sweep's folder, so `dmnet run` repeats it.
What does not depend on the parameter is run once: stages are taken over from whoever finished them.
"""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd
import yaml

from dmnet_lib import (
    experiments,
    figures,
    files,
    parallel,
    params,
    profiles,
    provenance,
    report,
    runner,
)
from dmnet_lib.experiments import EVALUATION, SWEEP
from dmnet_lib.files import InputError
from dmnet_lib.params import Experiment, Parameter, Value

# A parameter (left) that counts only while another has a value (right), which a sweep then sets.
NEEDS: dict[str, tuple[str, Value]] = {
    "01_density_ground_truth.sigma_px": ("01_density_ground_truth.sigma_rule", "fixed"),
    "01_density_ground_truth.neighbours": ("01_density_ground_truth.sigma_rule", "adaptive"),
    "01_density_ground_truth.beta": ("01_density_ground_truth.sigma_rule", "adaptive"),
    "03_density_crops.threshold": ("03_density_crops.calibrate", False),
    "03_density_crops.target_hit_rate": ("03_density_crops.calibrate", True),
}
MEASURES = {  # what a sweep shows, with the title and the caption of its table
    "AP": ("AP", "AP of each main strategy, by value"),
    "hit_rate": ("Hit rate", "Share of the objects that are wholly inside a crop, by value"),
    "crops_per_image": ("Crops", "Crops an image, by value"),
    "megapixels": ("Megapixels", "Megapixels through the detector an image, by value"),
}
FIGURE = "sweep"
LEVEL = 0.95  # of the intervals, where an experiment says nothing else
CAPTION = (
    "Each main strategy over the values; bands of AP are {level:.0%} intervals of a bootstrap over "
    "images, of each value alone: they overlap more than paired differences do."
)
ALT = "Line plots of AP, hit rate, crops and megapixels over the values, one line a strategy"


@dataclass(frozen=True)
class Sweep:
    """What is to be run: one parameter's values and the experiment of each, in the same order.

    name is that of the sweep's folder; notes say what had to be set for the parameter to count.
    """

    name: str
    base: Experiment
    parameter: Parameter
    values: tuple[Value, ...]
    runs: tuple[Experiment, ...]
    notes: tuple[str, ...]

    @property
    def swept(self) -> str:
        """The parameter as it is written, `section.name`."""
        return f"{self.parameter.section}.{self.parameter.name}"


def parse(
    params_path: Path, text: str, settings: Sequence[str] = (), *, base_path: Path = params.BASE
) -> Sweep:
    """Return the sweep of `SECTION.NAME=V1,V2`, with settings `SECTION.NAME=V` for all values.

    Values are those of a YAML list: one with a comma stands in quotes. Raises InputError for a
    parameter or value that the experiment would not take, and for a value that is there twice.
    """
    base, known = params.load(params_path, base_path=base_path), params.declared(base_path)
    parameter, values = _assigned(text, known, "--sweep")
    for setting in settings:
        one, given = _assigned(setting, known, "--set")
        if len(given) != 1 or one == parameter:
            told = "takes one value" if one != parameter else "is what is swept"
            raise InputError(f"--set {setting}: {one.section}.{one.name} {told}")
        base = _with(base, one, given[0])
    base, notes = _effective(base, parameter, settings, known)
    sweep_name = f"{base.name}-{_short(parameter, known)}"
    names = [f"{sweep_name}-{_safe(value)}" for value in values]
    for place, name in enumerate(names):
        if name in names[:place]:
            first, second = (values[i] for i in (names.index(name), place))
            raise InputError(f"--sweep {text}: {first!r} and {second!r} would both be {name}")
    about = f"What does {parameter.section}.{parameter.name} do to {base.name}? Here it is"
    runs = tuple(
        replace(_with(base, parameter, value), name=name, question=f"{about} {_words(value)}.")
        for name, value in zip(names, values, strict=True)
    )
    for one in runs:
        common = one.sections[params.COMMON]
        profiles.named(str(common.get("profile", "corrected")), str(common.get(params.CHANGES, "")))
    return Sweep(sweep_name, base, parameter, tuple(values), runs, notes)


def _assigned(
    text: str, known: Mapping[str, Mapping[str, Parameter]], option: str
) -> tuple[Parameter, list[Value]]:
    """Return the declared parameter of `SECTION.NAME=VALUES` and the values, checked."""
    place, equals, given = text.partition("=")
    section, dot, name = place.strip().partition(".")
    if not (equals and dot and given.strip()):
        raise InputError(f"{option} {text}: expected SECTION.NAME=VALUE, such as common.seed=1")
    if section not in known:
        raise InputError(f"{option} {section}: no such section{params.nearest(section, known)}")
    if name not in known[section]:
        hint = params.nearest(name, known[section])
        raise InputError(f"{option} {section}.{name}: no such parameter{hint}")
    parameter = known[section][name]
    where = f"{option} {section}.{name}"
    return parameter, [params.check(parameter, value, where) for value in _listed(given, parameter)]


def _listed(given: str, parameter: Parameter) -> list[object]:
    """Return the values of a YAML list without its brackets; those of text stay as written."""
    loader = yaml.BaseLoader if isinstance(parameter.default, str) else params.Loader
    try:
        found = yaml.load(f"[{given}]", Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError(
            f"{given}: expected values with commas between; quote one that has any"
        ) from None
    return found


def _with(base: Experiment, parameter: Parameter, value: Value) -> Experiment:
    """Return the experiment with one parameter set."""
    section, name = parameter.section, parameter.name
    sections = base.sections | {section: base.sections[section] | {name: value}}
    own = {key: old for key, old in base.changed.get(section, {}).items() if key != name}
    own |= {name: value} if value != parameter.default else {}
    changed = {key: old for key, old in base.changed.items() if key != section}
    return replace(base, sections=sections, changed=changed | ({section: own} if own else {}))


def _effective(
    base: Experiment, parameter: Parameter, settings: Sequence[str],
    known: Mapping[str, Mapping[str, Parameter]],
) -> tuple[Experiment, tuple[str, ...]]:  # fmt: skip
    """Return the experiment in which the parameter counts, and a line where that changed it."""
    swept = f"{parameter.section}.{parameter.name}"
    if swept not in NEEDS:
        return base, ()
    place, value = NEEDS[swept]
    section, _, name = place.partition(".")
    now = base.sections[section][name]
    if now == value:
        return base, ()
    told = f"{swept} counts only with {name}: {_words(value)}"
    if any(setting.partition("=")[0].strip() == place for setting in settings):
        raise InputError(f"--set {place}={_words(now)}: {told}; leave it out")
    return _with(base, known[section][name], value), (f"{told}, which is set so for all values",)


def _short(parameter: Parameter, known: Mapping[str, Mapping[str, Parameter]]) -> str:
    """Return a parameter's name, with its section's number where several sections have it."""
    homes = [names for names in known.values() if parameter.name in names]
    number = parameter.section[:2]
    return f"{number}_{parameter.name}" if len(homes) > 1 else parameter.name


def _safe(value: Value) -> str:
    """Return a value as a part of a name: letters, digits, _ and -."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", _words(value)).strip("_") or "none"


def _words(value: Value) -> str:
    return value if isinstance(value, str) else params.dump({"v": value})[len("v: ") :].strip()


def text_of(experiment: Experiment) -> str:
    """Return the parameter file of an experiment: its question, and what it changes."""
    body = "".join(
        f"{section}:\n" + "".join(f"  {line}\n" for line in params.dump(values).splitlines())
        for section, values in experiment.changed.items()
    )
    return f"# {experiment.question}\n{body}"


def run(
    sweep: Sweep,
    *,
    say: runner.Say,
    jobs: int = 1,
    dry_run: bool = False,
    notebooks: Path = runner.NOTEBOOKS,
    results: Path | None = None,
    base_path: Path = params.BASE,
) -> dict[str, str]:
    """Run each value's experiment up to its evaluation, then compare them; return what failed.

    That is {experiment: why}, in a line each; the others are finished all the same. jobs run side
    by side, each with its share of the cores, once the stages common to all are there. Raises
    InputError before anything starts.
    """
    results = (results or provenance.results_root()).resolve()
    stages = runner.read_notebooks(notebooks)
    last = max(name for name, notebook in stages.items() if not notebook.reads_results)
    home, data = results / sweep.name, runner.find_data(sweep.base)
    _refuse_another(home)
    places = {"notebooks": notebooks, "results": results}
    plans = {
        one.name: [step for step in runner.plan(one, **places, data_root=data) if step.name <= last]
        for one in sweep.runs
    }
    for note in sweep.notes:
        say(note)
    if dry_run:
        _tell(plans, say)
        return {}
    paths = [files.write_text(home / f"{one.name}.yaml", text_of(one)) for one in sweep.runs]
    _keep(home, sweep, [])
    begin = partial(_run_one, say=say, base_path=base_path, **places)
    failed = _run_all(begin, paths, _shared(plans), last, jobs, say)
    write(home, sweep, failed, results=results)
    report.write_index(results)
    say(f"{params.shown(home / report.PAGE)}")
    return failed


def _refuse_another(home: Path) -> None:
    """Raise InputError where the sweep's folder is an experiment's."""
    if (home / provenance.LATEST).exists() and not (home / SWEEP).exists():
        raise InputError(f"{params.shown(home)}: is an experiment of that name; rename its file")


def _tell(plans: Mapping[str, Sequence[runner.StagePlan]], say: runner.Say) -> None:
    """Say what would run, each stage once: those that another value runs first are taken over."""
    seen: dict[tuple[str, str], str] = {}
    for name, steps in plans.items():
        for step in steps:
            first = seen.setdefault((step.name, step.key), name)
            verb, why = ("would run" if step.run else "kept"), step.why
            if step.run and first != name:
                verb, why = "kept", f"same key as in {first}"
            say(f"{name}: {step.name}  {step.key}  {verb}: {why}")


def _shared(plans: Mapping[str, Sequence[runner.StagePlan]]) -> str:
    """Return the last stage whose key all values share; empty where they share none."""
    keys = [{step.name: step.key for step in steps} for steps in plans.values()]
    return max((name for name in keys[0] if len({one[name] for one in keys}) == 1), default="")


def _run_all(
    begin: Callable[..., str], paths: Sequence[Path], shared: str, last: str, jobs: int,
    say: runner.Say,
) -> dict[str, str]:  # fmt: skip
    """Run what all share with the first experiment that gets there, then all; return failures."""
    waiting, failed = list(paths), {}
    threads = max(1, parallel.cores() // jobs)
    with parallel.pool(jobs, tasks=len(paths)) as executor:
        while shared and waiting:
            found = parallel.run(partial(begin, until=shared), waiting[:1], executor=executor)
            if not (why := next(found)):
                break
            failed[waiting.pop(0).stem] = why
        share = threads if executor else 0
        whole = partial(begin, until=last, threads=share)
        found = parallel.run(whole, waiting, executor=executor)
        failed |= dict(zip((path.stem for path in waiting), found, strict=True))
    return {name: why for name, why in failed.items() if why}


def _run_one(path: Path, *, say: runner.Say, until: str, threads: int = 0, **places: Path) -> str:
    """Run one experiment; return why it failed, nothing if it did not.

    threads limits the cores that its kernels take; 0 leaves them as they are.
    """
    if threads:
        os.environ |= {"OMP_NUM_THREADS": str(threads), "DMNET_JOBS": "0"}
    told = partial(_prefixed, say, path.stem)
    try:
        runner.run(path, say=told, until=until, **places)
    except (runner.StageError, InputError, OSError) as error:
        return " ".join(str(error).split())
    return ""


def _prefixed(say: runner.Say, name: str, line: str) -> None:
    say(f"{name}: {line}")


def _keep(home: Path, sweep: Sweep, table: Sequence[dict], **found: object) -> None:
    """Write sweep.json, and the entry by which the sweep is listed among the experiments."""
    runs = [
        {"experiment": one.name, "value": value}
        for one, value in zip(sweep.runs, sweep.values, strict=True)
    ]
    about = {"of": sweep.base.name, "parameter": sweep.swept, "runs": runs, "table": table}
    question = f"What does {sweep.swept} do to {sweep.base.name}?"
    head = {"headline": found.get("headline", {}), "key": "."}
    changed = {sweep.parameter.section: {sweep.parameter.name: list(sweep.values)}}
    files.write_json(home / SWEEP, about | {"notes": sweep.notes, "question": question} | found)
    entry = {"question": question, "changed": changed, "stages": {FIGURE: head}}
    files.write_json(home / provenance.LATEST, entry)


def write(home: Path, sweep: Sweep, failed: Mapping[str, str], *, results: Path) -> Path:
    """Write sweep.json, the figure with its numbers and report.html of what was finished."""
    names = [one.name for one in sweep.runs if one.name not in failed]
    found = experiments.load(results, tuple(names)) if names else {}
    table, level = _table(found, sweep), sweep.base.sections[EVALUATION].get("level", LEVEL)
    words = _compared(found, sweep, results)
    if len(table):
        figures.show(
            figures.sweep(table, sweep.swept), home, FIGURE, data=table, alt=ALT,
            caption=CAPTION.format(level=level),
        )  # fmt: skip
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    _keep(
        home, sweep, rows, level=level, words=words, failed=dict(failed), headline=_headline(table)
    )
    return write_page(home)


def _table(found: Mapping[str, experiments.Folders], sweep: Sweep) -> pd.DataFrame:
    """Return a row a strategy and value with MEASURES and the interval of AP; main ones only."""
    places = _places(sweep.values)
    rows = []
    for one, value, place in zip(sweep.runs, sweep.values, places, strict=True):
        if one.name in found:
            metrics = files.read_json(found[one.name][EVALUATION] / provenance.METRICS)
            for strategy in metrics["main"]:
                row = metrics["strategies"][strategy]
                low, high = row["intervals"]["AP"]
                rows.append({"strategy": strategy, "value": _words(value), "place": place}
                            | {name: row[name] for name in MEASURES}
                            | {"AP_low": low, "AP_high": high, "experiment": one.name})  # fmt: skip
    table = pd.DataFrame(rows, columns=["strategy", "value", "place", *MEASURES, "AP_low",
                                        "AP_high", "experiment"])  # fmt: skip
    return table.astype(dict.fromkeys((*MEASURES, "AP_low", "AP_high"), float))


def _places(values: Sequence[Value]) -> list[float]:
    """Return where values stand on an axis: numbers by size or its logarithm, others in order."""
    if not all(isinstance(value, int | float) and type(value) is not bool for value in values):
        return [float(place) for place in range(len(values))]
    if min(values) > 0 and max(values) > 8 * min(values):
        return [math.log2(value) for value in values]
    return [float(value) for value in values]


def _compared(found: Mapping[str, experiments.Folders], sweep: Sweep, results: Path) -> list[str]:
    """Return in words what differs from the experiment's own value, or from the first one's."""
    if len(found) < 2:
        return ["Fewer than two values were finished: there is nothing to compare."]
    if sweep.parameter.section == EVALUATION:
        return ["All values have the same detections: what differs is how they are scored."]
    from dmnet_lib import comparing  # with torch, which would make workers slow to start

    own = sweep.base.sections[sweep.parameter.section][sweep.parameter.name]
    of = {one.name: value for one, value in zip(sweep.runs, sweep.values, strict=True)}
    wanted = sorted(found, key=lambda name: of[name] != own)  # the experiment's own value first
    known = experiments.load(results, sweeps=True) | dict(found)
    made = comparing.compare(known, wanted, main_only=True)
    rows = comparing.whole(made)
    out = _standing_out(rows[rows["stands_out"]], wanted[0])
    return [out, *comparing.words(made).splitlines()]


def _standing_out(rows: pd.DataFrame, first: str) -> str:
    """Return which experiments differ from the first by more than noise, in a line."""
    if rows.empty:
        return f"No value's AP stands out from that of {first}, with any main strategy."
    told = [f"{row['second']} ({row['difference']:+.3f})" for _, row in rows.iterrows()]
    return f"In AP these stand out from {first}: {', '.join(told)}."


def _headline(table: pd.DataFrame) -> dict[str, object]:
    """Return the best AP of all, with its value."""
    if table["AP"].isna().all():
        return {}
    best = table.loc[table["AP"].idxmax()]
    return {f"best AP ({best['strategy']} at {best['value']})": float(best["AP"])}


def write_page(home: Path) -> Path:
    """Write a sweep's report.html from sweep.json and the figure beside it."""
    about = files.read_json(home / SWEEP)
    table = pd.DataFrame(about["table"])
    parts = [f"<h1>{home.name}</h1><p>{report.esc(about['question'])}</p>"]
    lines = [*about["notes"], *about.get("words", ())]
    lines += [f"{name} failed: {why}" for name, why in about.get("failed", {}).items()]
    parts += ["<h2>Findings</h2>", report.sentences(lines)]
    if len(table):
        caption = CAPTION.format(level=about["level"])
        parts.append(figures.saved(home, FIGURE, caption=caption, alt=ALT)._repr_html_())
        parts += [
            f"<h2>{head}</h2>" + report.frame(_wide(table, name), caption=told)
            for name, (head, told) in MEASURES.items()
        ]
    links = [(one["value"], one["experiment"]) for one in about["runs"]]
    parts += ["<h2>The experiments</h2>", _links(links)]
    return files.write_text(home / report.PAGE, report.page(home.name, parts))


def _wide(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return one measure, a row a strategy and a column a value."""
    wide = table.pivot(index="strategy", columns="value", values=name)
    wide = wide.loc[table["strategy"].unique(), table["value"].unique()]
    return wide.astype(float).round(3).astype(object).where(wide.notna(), "n/a")


def _links(runs: Sequence[tuple[Value, str]]) -> str:
    """Return a list of links to each experiment's report."""
    items = "".join(
        f'<li><a href="../{name}/{report.PAGE}">{name}</a>: {report.esc(value)}</li>'
        for value, name in runs
    )
    return f"<ul>{items}</ul>"
