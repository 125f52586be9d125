// Shows one picture at a time, in the order asked for, and flips it between two strategies.
const form = document.querySelector(".chooser"), status = document.querySelector(".status");
const figures = [...document.querySelectorAll(".gallery figure")];
const counts = new Map(figures.map((one) =>
  [one, one.dataset.counts.split(";").map((text) => text.split(",").map(Number))]));
let order = figures, place = 0, shown = "a";

const errors = ([, fn, fp]) => fn + fp;
const keys = {
  gain: (a, b) => errors(b) - errors(a), loss: (a, b) => errors(a) - errors(b),
  fn: (a) => a[1], fp: (a) => a[2], empty: (a) => a[2],
};

function sort() {
  const [a, b] = [form.a.value, form.b.value], name = form.order.value;
  const key = (one) => keys[name](counts.get(one)[a], counts.get(one)[b]);
  const isEmpty = (one) => counts.get(one)[0][0] + counts.get(one)[0][1] === 0;
  const wanted = figures.filter((one) => isEmpty(one) === (name === "empty"));
  order = wanted.sort((one, other) => key(other) - key(one));
  place = 0;
  show();
}

function show() {
  figures.forEach((one) => { one.hidden = one !== order[place]; });
  form.flip.setAttribute("aria-pressed", shown === "b");
  if (!order.length) { status.textContent = "There is no such image here."; return; }
  const now = order[place], number = form[shown].value;
  now.querySelectorAll("g").forEach((group) => {
    group.style.display = group.classList.contains(`of-${number}`) ? "inline" : "none";
  });
  const of = ["a", "b"].map((side) => {
    const [tp, fn, fp] = counts.get(now)[form[side].value];
    const name = form[side].selectedOptions[0].text;
    return `${side.toUpperCase()} ${name}: ${tp} TP, ${fn} FN, ${fp} FP`;
  });
  status.innerHTML = "";
  of.forEach((text, side) => {
    const part = document.createElement(side === (shown === "b" ? 1 : 0) ? "strong" : "span");
    part.textContent = text;
    status.append(part, side ? "" : " · ");
  });
  status.append(` — image ${place + 1} of ${order.length}, ${now.dataset.name}`);
}

const flip = () => { shown = shown === "a" ? "b" : "a"; show(); };
const go = (step) => { place = (place + step + order.length) % order.length; show(); };
form.addEventListener("change", sort);
form.flip.addEventListener("click", flip);
form.back.addEventListener("click", () => go(-1));
form.next.addEventListener("click", () => go(1));
document.addEventListener("keydown", (event) => {
  if (event.target.closest("select, input, dialog") || event.ctrlKey || event.metaKey) return;
  const act = { ArrowLeft: flip, ArrowRight: flip, n: () => go(1), p: () => go(-1) }[event.key];
  if (act) { event.preventDefault(); act(); }
});
[form, document.querySelector(".keys")].forEach((one) => { one.hidden = false; });
sort();
