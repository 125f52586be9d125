"""An image, boxes and a map over it -> a picture with a legend: explorers' and `dmnet predict`'s.

An image is reduced once (`reduced`), or a part of it is shown at a scale (`part`); `painted` draws
on a copy of that, quickly enough to follow a slider. Figures that are kept are matplotlib's
(`figures.gallery`), of the same `figures.Boxes`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageColor, ImageDraw, ImageFont

from dmnet_lib.core import boxes
from dmnet_lib.core.annotations import Annotations
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.tables import Detections
from dmnet_lib.reporting import figures
from dmnet_lib.reporting.figures import Boxes

LONG_PX, OVERLAY_PX = 900, 2000  # longer side of an explorer's picture, and of an overlay
LINE_PX, LABEL_PX = 2, 13  # of the picture
LEGEND_PX, LEGEND_FONT_PX = 26, 15  # height of a row of an overlay's legend, and of its letters
LEGEND_WIDTH_PX = 200  # of an entry, unless its words are longer
TINT = 0.45  # opacity of a tinted cell
HEAT_COLOURS = (colormaps["magma"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


@dataclass(frozen=True)
class Sheet:
    """An image, or the part from corner_xy on, as picture, and its pixels for each of the image."""

    picture: Image.Image
    scale: float
    corner_xy: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class View:
    """Boxes over a map (of opacity alpha, 0..1) and a mask of the image: [h, w] cells of cell_wh
    px, which are seen as such unless is_smooth."""

    layers: tuple[Boxes, ...] = ()
    density: np.ndarray | None = None
    alpha: float = 0.5
    mask: np.ndarray | None = None
    cell_wh: tuple[float, float] = (1.0, 1.0)
    is_smooth: bool = False


def reduced(image: np.ndarray, *, long_px: int = LONG_PX) -> Sheet:
    """Return an [H, W, 3] uint8 image with its longer side at long_px; never enlarged."""
    height, width = image.shape[:2]
    scale = min(1.0, long_px / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return Sheet(resized, scale)


def part(
    image: np.ndarray, scale: float, corner_xy: tuple[float, float], size_wh: tuple[int, int]
) -> Sheet:
    """Return what an [H, W, 3] uint8 image shows from a corner on, as a picture of size_wh at a
    scale: its own pixels where it is enlarged."""
    corner = np.array(corner_xy)
    first, last = np.floor(corner).astype(int), np.ceil(corner + np.array(size_wh) / scale)
    last = np.minimum(last.astype(int), image.shape[1::-1])
    seen = Image.fromarray(image[first[1] : last[1], first[0] : last[0]])
    begin = corner - first
    end = np.minimum(begin + np.array(size_wh) / scale, last - first)
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR
    return Sheet(seen.resize(size_wh, how, (*begin, *end)), scale, corner_xy)


def painted(sheet: Sheet, view: View) -> Image.Image:
    """Return a copy of the sheet's picture with everything of the view."""
    picture = sheet.picture.copy()
    if view.density is not None:
        colours, weights = _heat(view.density, view.alpha)
        spread = partial(_spread, sheet=sheet, view=view)
        picture.paste(spread(colours), mask=spread(weights))
    if view.mask is not None:
        share = Image.fromarray((view.mask * np.uint8(255 * TINT)).astype(np.uint8))
        picture.paste(ImageColor.getrgb(figures.GREEN), mask=_spread(share, sheet, view))
    pen = ImageDraw.Draw(picture)
    for layer in view.layers:
        places = ((layer.boxes_xyxy - [*sheet.corner_xy] * 2) * sheet.scale).round().tolist()
        _outline(pen, layer, places)
        font = ImageFont.load_default(LABEL_PX) if layer.names else None
        for (x1, y1, _, _), name in zip(places, layer.names, strict=False):
            pen.rectangle(pen.textbbox((x1 + 2, y1 + 2), name, font=font), fill=layer.colour)
            pen.text((x1 + 2, y1 + 2), name, fill="black", font=font)
    return picture


def overlay(image: np.ndarray, found: Detections, crops_xyxy: np.ndarray) -> np.ndarray:
    """Return [h, w, 3] uint8: an image with crops [R, 4] and its detections, above a legend."""
    crops = (Boxes(crops_xyxy, figures.YELLOW, "crops"),) if len(crops_xyxy) else ()
    layers = crops + _by_class(found.boxes_xyxy, found.class_ids, found.classes)
    picture = painted(reduced(image, long_px=OVERLAY_PX), View(layers))
    return np.asarray(_with_legend(picture, layers))


def class_layers(image: Annotations, chosen: np.ndarray | None = None) -> tuple[Boxes, ...]:
    """Return the chosen rows [n] of one image, by default its objects, as a layer a class."""
    rows = image.is_object if chosen is None else chosen
    xyxy = boxes.xywh_to_xyxy(image.boxes_xywh[rows])
    return _by_class(xyxy, image.class_ids[rows], image.classes)


def object_layers(image: Annotations, crops_xyxy: np.ndarray) -> tuple[Boxes, ...]:
    """Return one image's objects as layers: whole in a crop, cut by all they meet, in none."""
    xyxy = boxes.xywh_to_xyxy(image.boxes_xywh[image.is_object])
    held = np.any(boxes.holds(crops_xyxy[None], xyxy[:, None]), axis=1)
    met = np.any(boxes.intersection(xyxy[:, None], crops_xyxy) > 0, axis=1)
    return (
        Boxes(xyxy[held], figures.SKY, "objects held"),
        Boxes(xyxy[met & ~held], figures.ORANGE, "objects cut"),
        Boxes(xyxy[~met], figures.PINK, "objects outside"),
    )


def _by_class(boxes_xyxy: np.ndarray, class_ids: np.ndarray, classes: Classes) -> tuple[Boxes, ...]:
    """Return a layer a class, of the most frequent; the rest are one layer together."""
    shown = classes.most_frequent(class_ids)
    layers = [
        Boxes(boxes_xyxy[class_ids == k], figures.class_colour(k), classes.name(k)) for k in shown
    ]
    if (rest := ~np.isin(class_ids, shown)).any():
        more = f"and {len(np.unique(class_ids[rest]))} more"
        layers.append(Boxes(boxes_xyxy[rest], figures.PALE, more))
    return tuple(layers)


def _heat(cells: np.ndarray, alpha: float) -> tuple[Image.Image, Image.Image]:
    """Return a map in colours, and its opacity: empty places are clear where alpha is low."""
    # The square root, or a crowd would hide what is faint.
    share = np.sqrt(np.clip(cells, 0, None) / max(float(cells.max(initial=0)), 1e-9))
    levels = Image.fromarray((share * 255).astype(np.uint8))
    levels.putpalette(HEAT_COLOURS.tobytes())
    weights = Image.fromarray((255 * alpha * share ** (1 - alpha)).astype(np.uint8))
    return levels.convert("RGB"), weights


def _spread(cells: Image.Image, sheet: Sheet, view: View) -> Image.Image:
    """Return a picture of a map's cells, a pixel each, as large as the sheet and of its part."""
    corner, size = np.array(sheet.corner_xy), np.array(sheet.picture.size)
    ends = np.concatenate([corner, corner + size / sheet.scale]) / ([*view.cell_wh] * 2)
    how = Image.Resampling.BILINEAR if view.is_smooth else Image.Resampling.NEAREST
    return cells.resize(sheet.picture.size, how, tuple(np.minimum(ends, [*cells.size] * 2)))


def _outline(pen: ImageDraw.ImageDraw, layer: Boxes, places: Sequence[Sequence[float]]) -> None:
    thick = max(1, round(LINE_PX * layer.width))
    for x1, y1, x2, y2 in places:
        width = thick if min(x2 - x1, y2 - y1) > 6 * thick else 1  # or it would hide its object
        # A box of no pixel is drawn as one, so that nothing that counts is unseen.
        corners = (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1))
        pen.rectangle(corners, outline=layer.colour, width=width)


def _with_legend(picture: Image.Image, layers: Sequence[Boxes]) -> Image.Image:
    font = ImageFont.load_default(LEGEND_FONT_PX)
    words = [f"{layer.label} {len(layer.boxes_xyxy)}" for layer in layers]
    longest = max((round(font.getlength(one)) for one in words), default=0)
    width = max(LEGEND_WIDTH_PX, LEGEND_PX + longest + 10)
    columns = max(1, picture.width // width)
    height = picture.height + LEGEND_PX * -(-len(layers) // columns)
    sheet = Image.new("RGB", (picture.width, height), "white")
    sheet.paste(picture)
    pen = ImageDraw.Draw(sheet)
    for number, layer in enumerate(layers):
        row, column = divmod(number, columns)
        x, y = column * width, picture.height + row * LEGEND_PX
        square = (x + 6, y + 6, x + LEGEND_PX - 6, y + LEGEND_PX - 6)
        pen.rectangle(square, fill=layer.colour, outline="black")
        pen.text((x + LEGEND_PX, y + LEGEND_PX / 2), words[number], "black", font, anchor="lm")
    return sheet
