"""A parameter file -> the experiment's finished stages and report, or those of a sweep over it."""

import sys
from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core.files import InputError
from dmnet_lib.running.commands.common import Say, option

ABOUT = """\
Run an experiment's notebooks in order and write its report. Finished stages are cached, also those
that another experiment finished with the same parameters, code and data.

--sweep runs an experiment for each value of one parameter, called EXPERIMENT-NAME-VALUE, up to its
evaluation. results/EXPERIMENT-NAME then holds a page, a figure and sweep.json with the results, and
a parameter file per value. Values are a YAML list: quote those that have a comma. A sweep that was
stopped resumes, and a value that fails does not stop the others. Where another parameter overrules
the swept one, that one is set too, and the output says so."""
EXAMPLES = """\
examples:
  dmnet run params/demo.yaml --until 03_density_crops
  dmnet run params/demo.yaml --sweep '05_fused_detection.budgets="6, 2","6, 12"' \\
      --set 05_fused_detection.steps=300 --jobs 2"""
SWEEP = "one parameter, several values"


@dataclass(frozen=True)
class Options:
    """What to run: a parameter file up to a stage, or a sweep over one of its parameters."""

    params: Path = option(type=Path, metavar="PARAMS", help="a parameter file")
    until: str | None = option("--until", metavar="STAGE", help="the last stage to run")
    force: bool = option("--force", action="store_true", help="run finished stages again")
    dry_run: bool = option(
        "--dry-run", action="store_true", help="only say what would run, and why"
    )
    sweep: str | None = option(
        "--sweep", group=SWEEP, metavar="SECTION.NAME=V1,V2,…", help="one experiment per value"
    )
    settings: tuple[str, ...] = option(
        "--set", group=SWEEP, action="append", default=[], metavar="SECTION.NAME=VALUE",
        help="a value for all these experiments; may be repeated",
    )  # fmt: skip
    jobs: int | None = option(
        "--jobs", group=SWEEP, type=int, metavar="N", help="experiments side by side (default 1)"
    )

    def __post_init__(self) -> None:
        if not self.sweep and (self.settings or self.jobs):
            raise InputError(
                "--set and --jobs go with --sweep; --sweep common.seed=1 is one run too"
            )
        if self.jobs is not None and self.jobs < 1:
            raise InputError(f"--jobs {self.jobs}: expected 1 or more")
        if self.sweep and (self.until or self.force):
            raise InputError(
                "--until and --force do not go with --sweep: it runs what is not finished"
            )


def run(options: Options, say: Say) -> int:
    """Run the command; return its exit status."""
    from dmnet_lib.running import runner

    if options.sweep:
        return _sweep(options, say)
    try:
        runner.run(
            options.params, say=say, until=options.until, force=options.force,
            dry_run=options.dry_run,
        )  # fmt: skip
    except runner.StageError as error:
        sys.stderr.write(f"dmnet: {error}\n")
        return 1
    return 0


def _sweep(options: Options, say: Say) -> int:
    from dmnet_lib.running import sweep_values, sweeps

    sweep = sweep_values.parse(options.params, options.sweep, options.settings)
    failed = sweeps.run(sweep, say=say, jobs=options.jobs or 1, dry_run=options.dry_run)
    for name, why in failed.items():
        sys.stderr.write(f"dmnet: {name}: {why}\n")
    return 1 if failed else 0
