"""Evaluations of experiments -> all their figures as one table: CSV, JSON or Parquet."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dmnet_lib.core import files, result_folder
from dmnet_lib.core.files import InputError
from dmnet_lib.running.commands.common import OutOptions, Say, option
from dmnet_lib.running.output import complain

if TYPE_CHECKING:  # it takes longer to import than help should
    import pandas as pd

FORMATS = ("csv", "json", "parquet")


@dataclass(frozen=True)
class Options:
    """Which experiments; the file to write and its format, else CSV on the terminal."""

    names: tuple[str, ...] = option(
        "an experiment; all but those of sweeps if none", flag="", nargs="*", metavar="RUN"
    )
    format: str | None = option("by default as --out ends, else csv", choices=FORMATS)
    out: Path | None = option("file to write")
    replaced: OutOptions

    def __post_init__(self) -> None:
        if self.chosen == "parquet" and not self.out:
            raise InputError("parquet is no text: name a file by --out")
        if self.out and self.out.is_dir():
            raise InputError(f"{self.out}: is a folder; --out takes a file to write")
        if self.out and not self.format and self.out.suffix[1:].lower() not in ("", *FORMATS):
            raise InputError(f"{self.out}: ends in none of {', '.join(FORMATS)}: say --format")

    @property
    def chosen(self) -> str:
        """The format."""
        ending = self.out.suffix[1:].lower() if self.out else ""
        return self.format or (ending if ending in FORMATS else FORMATS[0])


def run(options: Options, say: Say) -> None:
    from dmnet_lib.evaluation import experiments, tidy

    made = options.out and options.replaced.made(options.out, "results")
    root = result_folder.results_root()
    found = experiments.load(root, tuple(dict.fromkeys(options.names)))
    if not found:
        raise InputError(f"{root}: no evaluated experiment; run one")
    others = {home.name for home in result_folder.homes(root)} - found.keys()
    if not options.names and (others := others - experiments.swept(root)):
        complain(f"note: left out, as not evaluated or damaged: {', '.join(sorted(others))}")
    table = tidy.table(found)
    content = _content(table, options.chosen)
    if say.as_json:
        say.result(json.loads(_content(table, "json")))
    if not options.out:
        say(content.decode().rstrip("\n"))
        return
    with made.writing():
        files.write_bytes(options.out, content)
    say(f"{options.out}  {len(table):,} rows of {len(found)} experiments")


def _content(table: "pd.DataFrame", form: str) -> bytes:
    """Return a table in a format. Raises InputError for Parquet without the package it needs."""
    if form == "csv":
        return table.to_csv(index=False).encode()
    if form == "json":
        return table.to_json(orient="records", indent=1, double_precision=15).encode()
    try:
        return table.to_parquet(index=False)
    except ImportError:
        hint = "pip install 'dmnet-suite[parquet]'"
        raise InputError(f"no pyarrow here, which writes Parquet: {hint}") from None
