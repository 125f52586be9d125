"""An image and what was found in it -> a picture to look at: boxes by class, crops, a legend."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dmnet_lib.core.annotations import CLASSES
from dmnet_lib.core.tables import Detections
from dmnet_lib.reporting import figures

LONG_PX = 2000  # longer side of the picture, at most
LEGEND_PX, FONT_PX = 26, 15  # height of a row of the legend, and of its letters
THIN_PX = 12  # side of a box, in the picture, up to which its line is one pixel wide


def draw(image: np.ndarray, found: Detections, crops_xyxy: np.ndarray) -> np.ndarray:
    """Return [h, w, 3] uint8 RGB: an image made small, with boxes in colours and a legend below.

    found are the detections of one image that are to be seen; crops_xyxy [R, 4] are yellow.
    """
    picture = Image.fromarray(image)
    scale = min(1.0, LONG_PX / max(picture.size))
    if scale < 1:
        size = [max(1, round(side * scale)) for side in picture.size]
        picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    pen = ImageDraw.Draw(picture)
    _outline(pen, crops_xyxy * scale, figures.YELLOW)
    for name, rows in _by_class(found):
        _outline(pen, found.boxes_xyxy[rows] * scale, figures.CLASS_COLOURS[name])
    return np.asarray(_with_legend(picture, found, len(crops_xyxy)))


def _by_class(found: Detections) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name of each class that was found, and its rows."""
    for class_id in np.unique(found.class_ids):
        yield CLASSES[class_id - 1], np.flatnonzero(found.class_ids == class_id)


def _outline(pen: ImageDraw.ImageDraw, boxes_xyxy: np.ndarray, colour: str) -> None:
    for x1, y1, x2, y2 in boxes_xyxy.round().tolist():
        width = 1 if min(x2 - x1, y2 - y1) <= THIN_PX else 2  # or it would hide its object
        pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=width)


def _with_legend(picture: Image.Image, found: Detections, crops: int) -> Image.Image:
    """Return the picture above rows of the colours that it has, each with its name and number."""
    entries = [(name, figures.CLASS_COLOURS[name], len(rows)) for name, rows in _by_class(found)]
    entries += [("crops", figures.YELLOW, crops)] if crops else []
    font = ImageFont.load_default(FONT_PX)
    places, x, row = [], 0, 0
    for name, colour, number in entries:
        words = f"{name} {number}"
        width = LEGEND_PX + int(font.getlength(words)) + FONT_PX
        x, row = (0, row + 1) if x and x + width > picture.width else (x, row)
        places.append((x, picture.height + row * LEGEND_PX, colour, words))
        x += width
    height = picture.height + (row + 1) * LEGEND_PX * bool(entries)
    sheet = Image.new("RGB", (picture.width, height), "white")
    sheet.paste(picture)
    pen = ImageDraw.Draw(sheet)
    for x, y, colour, words in places:
        square = (x + 6, y + 6, x + LEGEND_PX - 6, y + LEGEND_PX - 6)
        pen.rectangle(square, fill=colour, outline="black")
        pen.text((x + LEGEND_PX, y + LEGEND_PX / 2), words, "black", font, anchor="lm")
    return sheet
