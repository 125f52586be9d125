"""How pages look and, for the list of experiments, behave: style sheet and script, as text.

Every text stands out by 4.5 to 1 at least, in the light and in the dark scheme, code too.
"""

from pygments.formatters import HtmlFormatter

CSS = """\
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --soft: #f4f5f7; --line: #d5d9de;
  --quiet: #50575f; --mark: #fff3d6; --link: #0b5cad; --bad: #b3261e; --bad-soft: #fdeceb;
  --good: #14683c; --good-soft: #e8f5ec; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6e9; --paper: #16181b; --soft: #212429;
  --line: #3a3f46; --quiet: #b0b6bd; --mark: #45391a; --link: #7db8f5; --bad: #ff8a80;
  --bad-soft: #3b1f1e; --good: #7fd6a2; --good-soft: #16301f; } }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
main:focus { outline: none; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 1rem; top: .5rem; padding: .4em .8em; background: var(--paper); }
h1, h2, h3, h4 { line-height: 1.25; margin: 2em 0 .6em; }
h1 { margin-top: .5em; }
section { border-top: 1px solid var(--line); margin-top: 2.5rem; }
a { color: var(--link); }
p, li { max-width: 75ch; }
pre, code { font: .88em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { background: var(--soft); padding: .7em .9em; border-radius: 6px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.highlight, .highlight .err { background: none; border: 0; }
.scroll { overflow-x: auto; margin: 1em 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-size: .85em; color: var(--quiet); padding-bottom: .4em; }
table, th, td { border: 0; }
th, td { border-bottom: 1px solid var(--line); padding: .3em .8em .3em 0; text-align: left;
  vertical-align: top; font-size: .85em; }
thead th { vertical-align: bottom; }
th.num, td.num { text-align: right; }
td.num { white-space: nowrap; }
th[scope="row"] { font-weight: 600; white-space: nowrap; }
th[scope="row"] a { display: inline-block; max-width: 18em; white-space: normal;
  overflow-wrap: break-word; }
.dataframe td, .dataframe th { white-space: nowrap; }
td.long, .dataframe td.long { white-space: normal; min-width: 22ch; }
nav > ul { columns: 3 20rem; padding-left: 1.2em; }
nav > ul > li { break-inside: avoid; }
tr.changed { background: var(--mark); }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0;
  padding: 0; cursor: pointer; text-align: inherit; }
th button::after { content: " \\2195"; color: var(--quiet); }
th[aria-sort="ascending"] button::after { content: " \\2191"; color: inherit; }
th[aria-sort="descending"] button::after { content: " \\2193"; color: inherit; }
input { font: inherit; padding: .3em .5em; color: inherit; background: var(--paper);
  border: 1px solid var(--quiet); border-radius: 4px; }
figure { margin: 1.2em 0; }
img, svg { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption, .note { font-size: .92em; color: var(--quiet); }
details { margin: .4em 0; }
summary { cursor: pointer; }
details.code > summary { font-size: .8em; color: var(--quiet); }
.box { border: 2px solid var(--line); border-radius: 8px; padding: .2em 1em; margin: 1.2em 0; }
.box h1, .box h2 { margin-top: .6em; }
.box dt { font-weight: 600; }
.box dd { margin: 0 0 .5em; max-width: 75ch; }
.verdict > p:first-of-type { font-size: 1.15em; }
.wins { border-color: var(--good); background: var(--good-soft); }
.wins h2 { color: var(--good); }
.loses, .failed { border-color: var(--bad); background: var(--bad-soft); }
.loses h2, .failed h1, .failed h2, .bad { color: var(--bad); }
.failed pre { background: var(--paper); }
@media (min-width: 700px) { .box dl { display: grid; grid-template-columns: 12em 1fr; } }
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --soft: #f4f5f7; --line: #b5bac0;
    --quiet: #50575f; --mark: #fff3d6; --link: #0b5cad; --bad: #b3261e; --bad-soft: #fdeceb;
    --good: #14683c; --good-soft: #e8f5ec; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  .skip, nav, .filter, details.code, figcaption a { display: none; }
  .scroll { overflow: visible; }
  main :is(th, td, .num, .long, [scope]) { white-space: normal; min-width: 0;
    padding-right: .5em; font-size: 7.5pt; }
  h1, h2, h3, h4, caption { break-after: avoid; }
  figure, tr, .box { break-inside: avoid; }
  section { break-before: page; border: 0; margin: 0; }
  details::details-content { content-visibility: visible; height: auto; }
}
"""

# Without it the list is a plain table. Nothing is read from elsewhere, nothing is kept.
SORT_AND_FILTER = """\
const table = document.querySelector("table");
const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
const box = document.getElementById("filter"), count = document.getElementById("count");
const order = new Intl.Collator("en", { numeric: true });

function compare(a, b, column) {
  const [one, other] = [a, b].map((row) => row.cells[column].textContent.trim());
  if (!heads[column].classList.contains("num")) return order.compare(one, other);
  return parseFloat(one.replaceAll(",", "")) - parseFloat(other.replaceAll(",", ""));
}

function sort(column) {
  const up = heads[column].getAttribute("aria-sort") !== "ascending";
  const isThere = (row) => !["", "-"].includes(row.cells[column].textContent.trim());
  const there = rows.filter(isThere).sort((a, b) => (up ? 1 : -1) * compare(a, b, column));
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...there, ...rows.filter((row) => !isThere(row)));
}

function filter() {
  const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
  count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} shown`;
}

heads.forEach((head, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  button.addEventListener("click", () => sort(column));
  head.append(button);
});
box.addEventListener("input", filter);
box.parentElement.hidden = false;
filter();
"""


def sheet() -> str:
    """Return the style sheet of a page: colours of code in both schemes, and everything else."""
    light, dark = (
        HtmlFormatter(style=name).get_style_defs(".highlight") for name in ("xcode", "monokai")
    )
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n{CSS}"
