"""Executed notebooks and result folders in, self-contained HTML pages and Markdown tables out.

A page opens offline: pictures are data URIs, links are anchors, styles are inline. Only the list
of experiments has a script, which sorts and filters. Rendering twice gives the same bytes.
"""

from dmnet_lib.reporting.pages.failures import ERROR, FAILED
from dmnet_lib.reporting.pages.markup import esc, frame, page, sentences, table
from dmnet_lib.reporting.pages.pages import PAGE, write_experiment, write_index, write_stage
from dmnet_lib.reporting.pages.readme import (
    BENCH_FILE,
    PLANS_FILE,
    bench_cells,
    latest,
    readme_bench,
    readme_curves,
    readme_deviations,
    readme_figure,
    readme_off_the_shelf,
    readme_plans,
    readme_table,
    update_readme,
)

__all__ = [
    "BENCH_FILE",
    "ERROR",
    "FAILED",
    "PAGE",
    "PLANS_FILE",
    "bench_cells",
    "esc",
    "frame",
    "latest",
    "page",
    "readme_bench",
    "readme_curves",
    "readme_deviations",
    "readme_figure",
    "readme_off_the_shelf",
    "readme_plans",
    "readme_table",
    "sentences",
    "table",
    "update_readme",
    "write_experiment",
    "write_index",
    "write_stage",
]
