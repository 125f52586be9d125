// Opens pictures at full size, and says where a table goes on to the right. Pages work without it.
const dialog = document.getElementById("enlarged"), room = dialog.querySelector("div");

function enlarge(picture) {
  const copy = picture.cloneNode(true);
  copy.removeAttribute("width");
  const groups = copy.querySelectorAll("g");  // outside of its figure nothing says which are seen
  picture.querySelectorAll("g").forEach((group, place) => {
    groups[place].style.display = getComputedStyle(group).display === "none" ? "none" : "inline";
  });
  room.replaceChildren(copy);
  dialog.showModal();
}

document.querySelectorAll("figure > img, figure > .scene").forEach((picture) => {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "enlarge";
  button.textContent = "Enlarge";
  button.addEventListener("click", () => enlarge(picture));
  picture.addEventListener("click", () => enlarge(picture));
  const caption = picture.parentElement.querySelector("figcaption");
  (caption ?? picture.parentElement).append(" ", button);
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
room.addEventListener("click", () => dialog.close());

const hint = () => document.querySelectorAll(".scroll").forEach((part) => {
  part.classList.toggle("wide", part.scrollWidth > part.clientWidth + 1);
});
addEventListener("resize", hint);
document.addEventListener("toggle", hint, true);
hint();
