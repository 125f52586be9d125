"""An image, boxes and a map over it -> a picture with a legend: explorers' and `dmnet predict`'s.

An image is reduced once (`reduced`); `painted` draws on a copy of that, quickly enough to follow a
slider. Figures that are kept are matplotlib's (`figures.gallery`), of the same `figures.Boxes`.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from PIL import Image, ImageColor, ImageDraw, ImageFont

from dmnet_lib.core import boxes, files
from dmnet_lib.core.annotations import CLASSES, Annotations
from dmnet_lib.core.tables import Detections
from dmnet_lib.reporting import figures
from dmnet_lib.reporting.figures import Boxes
from dmnet_lib.reporting.pages import render

LONG_PX, OVERLAY_PX = 900, 2000  # longer side of an explorer's picture, and of an overlay
QUALITY = 85
LINE_PX, LABEL_PX = 2, 13  # of the picture
LEGEND_PX, LEGEND_FONT_PX = 26, 15  # height of a row of an overlay's legend, and of its letters
TINT = 0.45  # opacity of a tinted cell
HEAT_COLOURS = figures.heat_colours()


@dataclass(frozen=True)
class Sheet:
    """An image made small: picture, and its pixels for each pixel of the image."""

    picture: Image.Image
    scale: float


@dataclass(frozen=True)
class Heat:
    """A map [h, w] of equal cells that cover the image, drawn over it with opacity alpha 0..1."""

    cells: np.ndarray
    alpha: float


@dataclass(frozen=True)
class Tint:
    """Cells of a mask [h, w] that covers the image, in one colour."""

    mask: np.ndarray
    colour: str


@dataclass(frozen=True)
class View:
    """What is drawn over one image: layers of boxes, the labels [n] of the boxes of the layer
    called `labelled`, and what lies under the boxes."""

    layers: tuple[Boxes, ...] = ()
    labels: tuple[str, ...] = ()
    labelled: str = ""
    heat: Heat | None = None
    tint: Tint | None = None


def reduced(image: np.ndarray, *, long_px: int = LONG_PX) -> Sheet:
    """Return an [H, W, 3] uint8 image with its longer side at long_px; never enlarged."""
    height, width = image.shape[:2]
    scale = min(1.0, long_px / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(image)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return Sheet(picture, scale)


def painted(sheet: Sheet, view: View) -> Image.Image:
    """Return a copy of the sheet's picture with everything of the view."""
    picture = sheet.picture.copy()
    if view.heat is not None:
        colours, weights = _heat(view.heat, picture.size)
        picture.paste(colours, mask=weights)
    if view.tint is not None:
        share = Image.fromarray((view.tint.mask * np.uint8(255 * TINT)).astype(np.uint8))
        share = share.resize(picture.size, Image.Resampling.NEAREST)
        picture.paste(ImageColor.getrgb(view.tint.colour), mask=share)
    pen = ImageDraw.Draw(picture)
    for layer in view.layers:
        _outline(pen, layer, sheet.scale)
        if layer.label == view.labelled:
            _label(pen, layer, view.labels, sheet.scale)
    return picture


def overlay(image: np.ndarray, found: Detections, crops_xyxy: np.ndarray) -> np.ndarray:
    """Return [h, w, 3] uint8 RGB: an image with crops and detections, above a legend.

    found are the detections of one image that are to be seen; crops_xyxy [R, 4] are yellow.
    """
    layers = _by_class(found.boxes_xyxy, found.class_ids)
    layers += (Boxes(crops_xyxy, figures.YELLOW, "crops"),) if len(crops_xyxy) else ()
    crops_first = sorted(layers, key=lambda layer: layer.label != "crops")
    picture = painted(reduced(image, long_px=OVERLAY_PX), View(tuple(crops_first)))
    return np.asarray(_with_legend(picture, layers))


def class_layers(image: Annotations, chosen: np.ndarray | None = None) -> tuple[Boxes, ...]:
    """Return the chosen rows [n] of one image, by default its objects, as a layer a class."""
    rows = image.is_object if chosen is None else chosen
    return _by_class(boxes.xywh_to_xyxy(image.boxes_xywh[rows]), image.class_ids[rows])


def object_layers(image: Annotations, crops_xyxy: np.ndarray) -> tuple[Boxes, ...]:
    """Return one image's objects as layers: whole in a crop, cut by all they meet, in none."""
    xyxy = boxes.xywh_to_xyxy(image.boxes_xywh[image.is_object])
    held = np.any(boxes.holds(crops_xyxy[None], xyxy[:, None]), axis=1)
    met = np.any(boxes.intersection(xyxy, crops_xyxy) > 0, axis=1)
    return (
        Boxes(xyxy[held], figures.SKY, "objects held"),
        Boxes(xyxy[met & ~held], figures.ORANGE, "objects cut"),
        Boxes(xyxy[~met], figures.PINK, "objects outside"),
    )


def html(picture: Image.Image, layers: Sequence[Boxes], alt: str) -> Markup:
    """Return a picture as HTML that needs no file, with its legend."""
    jpeg = files.encode_jpeg(np.asarray(picture), quality=QUALITY, sampling="420")
    data = base64.b64encode(jpeg).decode()
    return render.html("explorer_picture", picture=picture, data=data, layers=layers, alt=alt)


def _by_class(boxes_xyxy: np.ndarray, class_ids: np.ndarray) -> tuple[Boxes, ...]:
    """Return boxes [N, 4] as layers, one for each class that is there."""
    names = {class_id: CLASSES[class_id - 1] for class_id in np.unique(class_ids)}
    return tuple(
        Boxes(boxes_xyxy[class_ids == class_id], figures.CLASS_COLOURS[name], name)
        for class_id, name in names.items()
    )


def _heat(heat: Heat, size_wh: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """Return a map in colours, and its opacity in each pixel.

    The scale is the square root, or a crowd would hide what is faint; empty places are the more
    transparent, the lower alpha is.
    """
    share = np.sqrt(np.clip(heat.cells, 0, None) / max(float(heat.cells.max(initial=0)), 1e-9))
    levels = Image.fromarray((share * 255).astype(np.uint8))
    levels.putpalette(HEAT_COLOURS.tobytes())
    weights = Image.fromarray((255 * heat.alpha * share ** (1 - heat.alpha)).astype(np.uint8))
    bilinear = Image.Resampling.BILINEAR
    return levels.convert("RGB").resize(size_wh, bilinear), weights.resize(size_wh, bilinear)


def _outline(pen: ImageDraw.ImageDraw, layer: Boxes, scale: float) -> None:
    thick = max(1, round(LINE_PX * layer.width))
    for x1, y1, x2, y2 in (layer.boxes_xyxy * scale).round().tolist():
        width = thick if min(x2 - x1, y2 - y1) > 6 * thick else 1  # or it would hide its object
        # A box of no pixel is drawn as one, so that nothing that counts is unseen.
        corners = (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1))
        pen.rectangle(corners, outline=layer.colour, width=width)


def _label(pen: ImageDraw.ImageDraw, layer: Boxes, labels: Sequence[str], scale: float) -> None:
    font = ImageFont.load_default(LABEL_PX)
    for (x1, y1, _, _), text in zip((layer.boxes_xyxy * scale).tolist(), labels, strict=False):
        pen.rectangle(pen.textbbox((x1 + 2, y1 + 2), text, font=font), fill=layer.colour)
        pen.text((x1 + 2, y1 + 2), text, fill="black", font=font)


def _with_legend(picture: Image.Image, layers: Sequence[Boxes]) -> Image.Image:
    """Return the picture above rows of colours, each with its name and number of boxes."""
    font = ImageFont.load_default(LEGEND_FONT_PX)
    places, x, row = [], 0, 0
    for layer in layers:
        words = f"{layer.label} {len(layer.boxes_xyxy)}"
        width = LEGEND_PX + int(font.getlength(words)) + LEGEND_FONT_PX
        x, row = (0, row + 1) if x and x + width > picture.width else (x, row)
        places.append((x, picture.height + row * LEGEND_PX, layer.colour, words))
        x += width
    height = picture.height + (row + 1) * LEGEND_PX * bool(layers)
    sheet = Image.new("RGB", (picture.width, height), "white")
    sheet.paste(picture)
    pen = ImageDraw.Draw(sheet)
    for x, y, colour, words in places:
        square = (x + 6, y + 6, x + LEGEND_PX - 6, y + LEGEND_PX - 6)
        pen.rectangle(square, fill=colour, outline="black")
        pen.text((x + LEGEND_PX, y + LEGEND_PX / 2), words, "black", font, anchor="lm")
    return sheet
