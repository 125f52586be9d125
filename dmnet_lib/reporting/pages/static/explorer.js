// Tells an explorer what the pointer does on its picture, through its hidden text field. It listens
// on what holds the picture, since each move of a control replaces the picture itself.
const mark = this;
const attach = (tries) => {
  const root = mark.closest(".dmnet-explorer");
  const holder = root && root.querySelector(".dmnet-picture");
  const field = root && root.querySelector(".dmnet-pointer input");
  if (!holder || !field) {
    if (tries) setTimeout(attach, 100, tries - 1);
    return;
  }
  const tell = (kind, place, amount = [0, 0]) => {
    field.value = JSON.stringify([Date.now(), kind, ...place, ...amount]);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const placeOf = (event, image) => {
    const box = image.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  let room = 0, resized = 0;
  new ResizeObserver(() => {
    clearTimeout(resized);
    resized = setTimeout(() => {
      // What is hidden has no width; a scroll bar that comes and goes is not worth a picture.
      if (holder.clientWidth < 50 || Math.abs(holder.clientWidth - room) < 20) return;
      room = holder.clientWidth;
      tell("room", [0, 0], [room, 0]);
    }, 100);
  }).observe(holder);
  let turned = 0, waits = 0, begun = null, clicked = 0;
  holder.addEventListener("wheel", (event) => {
    const image = event.target;
    // Where nothing is left to zoom out of, the page scrolls.
    if (image.tagName !== "IMG" || (event.deltaY > 0 && image.dataset.whole)) return;
    event.preventDefault();
    turned += event.deltaY * (event.deltaMode ? 33 : 1);
    const place = placeOf(event, image);
    waits ||= setTimeout(() => {
      tell("wheel", place, [0, turned]);
      turned = waits = 0;
    }, 60);
  }, { passive: false });
  holder.addEventListener("pointerdown", (event) => {
    if (event.target.tagName !== "IMG" || event.button) return;
    event.preventDefault();
    begun = { image: event.target, x: event.clientX, y: event.clientY };
    holder.setPointerCapture(event.pointerId);
  });
  holder.addEventListener("pointermove", (event) => {
    if (begun && !begun.image.dataset.whole)
      begun.image.style.transform = `translate(${event.clientX - begun.x}px, ${event.clientY - begun.y}px)`;
  });
  holder.addEventListener("pointerup", (event) => {
    if (!begun) return;
    const { image, x, y } = begun;
    const across = event.clientX - x, down = event.clientY - y;
    begun = null;
    // An image that is still the same after a while was dragged against its border.
    setTimeout(() => { image.style.transform = ""; }, 400);
    if (Math.hypot(across, down) > 3) {
      tell("drag", [0, 0], [across / image.clientWidth, down / image.clientHeight]);
      return;
    }
    const isSecond = event.timeStamp - clicked < 350;
    clicked = isSecond ? 0 : event.timeStamp;
    tell(isSecond ? "double" : "click", placeOf(event, image));
  });
  holder.addEventListener("pointercancel", () => { begun = null; });
  root.addEventListener("click", (event) => {
    const chosen = event.target.closest("[data-image]");
    if (chosen) tell("open", [0, 0], [Number(chosen.dataset.image), 0]);
  });
};
attach(100);
