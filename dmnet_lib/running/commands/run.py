"""A parameter file -> the experiment's finished stages and report, or those of a sweep over it."""

from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core.files import InputError
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import Say, option

ABOUT = """\
Run an experiment's notebooks in order and write its report. Finished stages are cached, also those
that another experiment finished with the same parameters, code and data.

Results, data and relative paths lie in the project: the nearest folder with params/base.yaml and
notebooks/ at or above the parameter file, else the working folder, else the clone that dmnet was
installed from. Without any, the working folder is used, with the notebooks that came with dmnet.

--sweep runs an experiment EXPERIMENT-NAME-VALUE for each value of one parameter, a YAML list, up to
its evaluation; results/EXPERIMENT-NAME then compares them. A sweep that was stopped resumes, and a
value that fails stops no other. A parameter that overrules the swept one is set, and named."""
EXAMPLES = """\
examples:
  dmnet run params/demo.yaml --until 03_density_crops
  dmnet run params/demo.yaml --sweep '05_fused_detection.budgets="6, 2","6, 12"' --jobs 2"""


@dataclass(frozen=True)
class Options:
    """What to run: a parameter file up to a stage, or a sweep over one of its parameters."""

    params: Path = option("a parameter file", flag="", metavar="PARAMS")
    until: str | None = option("the last stage to run", metavar="STAGE")
    force: bool = option("run finished stages again", action="store_true")
    dry_run: bool = option("only say what would run, and why", action="store_true")
    sweep: str | None = option("one experiment per value", metavar="SECTION.NAME=V1,V2,…")
    settings: tuple[str, ...] = option("a value for all of them; may be repeated", "--set",
        action="append", default=[], metavar="SECTION.NAME=VALUE")  # fmt: skip
    jobs: int | None = option("so many experiments side by side (default 1)", type=common.count)

    def __post_init__(self) -> None:
        if not self.sweep and (self.settings or self.jobs):
            raise InputError("--set and --jobs go with --sweep, which also takes one value alone")
        if self.sweep and (self.until or self.force):
            raise InputError("--until and --force do not go with --sweep, which runs what is due")


def run(options: Options, say: Say) -> None:
    if options.sweep:
        from dmnet_lib.running import sweep_values, sweeps

        sweep = sweep_values.parse(options.params, options.sweep, options.settings)
        failed = sweeps.run(sweep, say=say, jobs=options.jobs or 1, dry_run=options.dry_run)
        if failed:
            raise InputError("; ".join(f"{name}: {why}" for name, why in failed.items()))
        return
    from dmnet_lib.running import runner

    runner.run(options.params, say=say, until=options.until, force=options.force,
               dry_run=options.dry_run)  # fmt: skip
