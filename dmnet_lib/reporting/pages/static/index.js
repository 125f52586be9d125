// Sorts and filters the list of runs, and compares two; without it the list is a plain table.
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
  const isThere = (row) => !["", "n/a"].includes(row.cells[column].textContent.trim());
  const there = rows.filter(isThere).sort((a, b) => (up ? 1 : -1) * compare(a, b, column));
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...there, ...rows.filter((row) => !isThere(row)));
}

function filter() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }
  count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} shown`;
}

const told = document.getElementById("compared");
const ticks = [...body.querySelectorAll("input")];
const place = (name) => heads.findIndex((head) => head.textContent.trim() === name);
const figures = { AP: ["points of AP", 1], "s/image": ["s/image", 2] };
const places = Object.keys(figures).map((name) => [name, place(name)]);

function compareTwo() {
  const chosen = ticks.filter((tick) => tick.checked);
  told.replaceChildren();
  if (chosen.length !== 2) {
    told.textContent = `Tick two runs to compare them${chosen.length > 2 ? `, not ${chosen.length}` : ""}.`;
    return;
  }
  const code = document.createElement("code");
  code.textContent = `dmnet compare ${chosen.map((tick) => tick.value).join(" ")}`;
  const cells = chosen.map((tick) => tick.closest("tr").cells);
  const moved = places.flatMap(([name, column]) => {
    const [a, b] = cells.map((row) => parseFloat(row[column].textContent));
    const by = (b - a).toFixed(figures[name][1]);
    return Number.isNaN(b - a) ? [] : [`${b < a ? "" : "+"}${by} ${figures[name][0]}`];
  });
  told.append(code, ` — the second run's best strategy against the first's: ${moved.join(", ")}. `
    + "The command tells whether that is significant.");
}

ticks.forEach((tick) => tick.addEventListener("change", compareTwo));
heads.forEach((head, column) => {
  if (!head.textContent.trim()) return;
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  button.addEventListener("click", () => sort(column));
  head.append(button);
});
box.addEventListener("input", filter);
[box.parentElement, told.parentElement].forEach((one) => { one.hidden = false; });
filter();
