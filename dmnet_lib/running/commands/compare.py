"""Names of finished experiments -> what differs between them, in a terminal and as a page."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dmnet_lib.core import files, result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.running.commands.common import OutOptions, Say, WorkerOptions, option

if TYPE_CHECKING:  # pandas and torch take longer to import than help should
    import pandas as pd

    from dmnet_lib.evaluation.comparing import Comparison

FIGURE = "differences"
WRITTEN = ("report.html", result_folder.METRICS, f"figures/{FIGURE}.svg", f"figures/{FIGURE}.csv")


@dataclass(frozen=True)
class Options:
    """Experiments, or NAME:STRATEGY, each compared to the first; a folder to write to, if any."""

    names: tuple[str, ...] = option("or NAME:STRATEGY", flag="", nargs="+", metavar="NAME")
    out: Path | None = option("folder for report.html, a figure and metrics.json")
    replaced: OutOptions
    workers: WorkerOptions

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise InputError("expected two names or more, such as demo:global demo:native")
        if self.out and self.out.is_file():
            raise InputError(f"{self.out}: is a file; --out takes a folder to write to")


def run(options: Options, say: Say) -> None:
    from dmnet_lib.evaluation import experiments

    made_before = options.out and options.replaced.made(options.out, "compare", WRITTEN)
    results = result_folder.results_root()
    wanted = tuple(dict.fromkeys(name.partition(":")[0].strip() for name in options.names))
    found = experiments.load(results, wanted)
    differing = experiments.parameter_differences(found)
    say(differing.to_string() if len(differing) else "no parameter differs")

    known = found | experiments.load(results, sweeps=True)
    of_strategies = any(":" in name for name in options.names)  # not worth their own processes
    with options.workers.lend(tasks=1 if of_strategies else None) as executor:
        from dmnet_lib.evaluation import comparing  # loads torch: workers fork quickly before that

        made = comparing.compare(known, options.names, executor=executor)
    for table in (made.cells(), made.class_cells(short=True)):
        if len(table):
            say(f"\n{table.to_string()}")
    say(f"\n{made.words()}")
    metrics = _metrics(options, differing, made)
    if options.out:
        with made_before.writing():
            files.write_json(options.out / result_folder.METRICS, metrics)
            say(f"{_write_page(options, differing, made)}")
    say.result(metrics)


def _metrics(options: Options, differing: "pd.DataFrame", made: "Comparison") -> dict[str, object]:
    from dmnet_lib.evaluation.comparing import LEVEL
    from dmnet_lib.evaluation.strategy_table import without_nan

    return {
        "names": list(options.names), "level": LEVEL, "words": made.words().splitlines(),
        "parameters": differing.reset_index().to_dict("records"),
        "differences": without_nan(made.table).to_dict("records"),
    }  # fmt: skip


def _write_page(options: Options, differing: "pd.DataFrame", made: "Comparison") -> Path:
    from dmnet_lib.reporting import charts, figures
    from dmnet_lib.reporting.pages import render
    from dmnet_lib.reporting.pages.pages import PAGE
    from dmnet_lib.reporting.pages.render import Table

    rows = made.ap_table()
    picture = figures.show(
        charts.differences(rows), options.out, FIGURE, data=rows,
        caption="Differences in AP to the first that was named; blue ones are significant.",
        alt="Dot plot of differences in AP with intervals, one row per pair",
    )  # fmt: skip
    lines = made.words().splitlines()
    tables = {
        "Parameters that differ": (differing, "Each parameter that is not the same"),
        "Differences": (made.cells().swaplevel(), "Differences, with their intervals"),
        "By class": (made.class_cells().T.swaplevel(), "Differences in AP, with their intervals"),
    }
    page = render.html(
        "comparison",
        title=f"Comparison: {', '.join(options.names)}", lines=lines, figure=picture,
        tables={h: Table.of_frame(table, caption=words) for h, (table, words) in tables.items()},
    )  # fmt: skip
    return files.write_text(options.out / PAGE, page)
