"""A parameter file -> the experiment's finished stages and report, or those of a sweep over it."""

import re
from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core import params, result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import Say, option


@dataclass(frozen=True)
class Options:
    """What to run: a parameter file up to a stage, or a sweep over one of its parameters."""

    params: Path = option("a parameter file, or its name in params/", flag="",
        type=common.params_file, metavar="PARAMS")  # fmt: skip
    until: str | None = option("the last stage to run: 03, or its whole name", metavar="STAGE")
    force: bool = option("run finished stages again", action="store_true")
    dry_run: bool = option("only say what would run, and why", action="store_true")
    settings: tuple[str, ...] = option("another value for a parameter; may be repeated", "--set",
        action="append", default=[], metavar="SECTION.NAME=VALUE")  # fmt: skip
    name: str = option("of the experiment, else as --set makes it", default="")
    sweep: str | None = option("one experiment per value", metavar="SECTION.NAME=V1,V2,…")
    jobs: int | None = option("of a sweep: so many experiments side by side (default 1)",
        type=common.count)  # fmt: skip

    def __post_init__(self) -> None:
        if self.jobs and not self.sweep:
            raise InputError("--jobs goes with --sweep: one experiment runs its stages in order")
        if self.sweep and (self.until or self.force or self.name):
            raise InputError("--until, --force and --name do not go with --sweep")
        if not re.fullmatch(r"[A-Za-z0-9_-]*", self.name):
            raise InputError(f"--name {self.name}: expected letters, digits, _ and - only")


def run(options: Options, say: Say) -> None:
    if options.sweep:
        from dmnet_lib.running import sweep_values, sweeps

        sweep = sweep_values.parse(options.params, options.sweep, options.settings)
        failed = sweeps.run(sweep, say=say, jobs=options.jobs or 1, dry_run=options.dry_run)
        if not options.dry_run:
            runs = [one.name for one in sweep.runs]
            say.result({"sweep": sweep.name, "experiments": runs, "failed": failed})
        if failed:
            raise InputError("; ".join(f"{name}: {why}" for name, why in failed.items()))
        return
    from dmnet_lib.running import runner

    path, text = _changed(options, say) if options.settings or options.name else (None, None)
    runner.run(path or options.params, text=text, say=say, tell=say.result, until=options.until,
               force=options.force, dry_run=options.dry_run)  # fmt: skip


def _changed(options: Options, say: Say) -> tuple[Path, str]:
    """Return the parameter file of --set and --name, beside the results, and what to write there,
    so that `dmnet run` with it repeats them."""
    from dmnet_lib.running import sweep_values

    one, notes = sweep_values.changed(options.params, options.settings, options.name)
    for note in notes:
        say(f"note: {note}")
    text = params.text_of(one.question, one.changed)
    return result_folder.results_root() / one.name / f"{one.name}.yaml", text
