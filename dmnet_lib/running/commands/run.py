"""A parameter file -> the experiment's finished stages and report, or those of a sweep over it."""

from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core.files import InputError
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import Say, option


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
