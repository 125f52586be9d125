// Sorts and filters the list of experiments; without it the list is a plain table.
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
