"""An image, boxes and a map over it -> a JPEG for a page, quickly enough to follow a slider.

An image is reduced once (`reduced`); `painted` draws on a copy of that. Figures that are kept are
matplotlib's work (`figures.gallery`), of the same `figures.Boxes`.
"""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from dmnet_lib.core import files
from dmnet_lib.reporting import figures
from dmnet_lib.reporting.figures import Boxes

LONG_PX = 900  # longer side of the picture
QUALITY = 85
LINE_PX, LABEL_PX = 2, 13  # of the picture
TINT = 0.45  # share of its colour in a tinted place
HEAT_COLOURS = figures.heat_colours()


@dataclass(frozen=True)
class Sheet:
    """An image made small: picture, and its pixels for each pixel of the image."""

    picture: Image.Image
    scale: float


@dataclass(frozen=True)
class Heat:
    """A map [h, w] of equal cells that cover the image, as see-through as alpha 0..1 says."""

    cells: np.ndarray
    alpha: float


@dataclass(frozen=True)
class Tint:
    """Places of the image, as a mask [h, w] of equal cells that cover it, in one colour."""

    mask: np.ndarray
    colour: str


@dataclass(frozen=True)
class View:
    """What is seen of one image: layers of boxes, words [n] at the first boxes' corners of the
    layer `worded`, and what lies under the boxes."""

    layers: tuple[Boxes, ...] = ()
    words: tuple[str, ...] = ()
    worded: str = ""
    heat: Heat | None = None
    tint: Tint | None = None


def reduced(image: np.ndarray) -> Sheet:
    """Return an [H, W, 3] uint8 image with its longer side at LONG_PX; never enlarged."""
    height, width = image.shape[:2]
    scale = min(1.0, LONG_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(image)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return Sheet(picture, scale)


def blank(size_wh: Sequence[int]) -> np.ndarray:
    """Return the grey image that stands for one that is not there."""
    return np.full((int(size_wh[1]), int(size_wh[0]), 3), 200, np.uint8)


def painted(sheet: Sheet, view: View) -> Image.Image:
    """Return a copy of the sheet's picture with all that the view says."""
    picture = sheet.picture.copy()
    if view.heat is not None:
        colours, weights = _heat(view.heat, picture.size)
        picture.paste(colours, mask=weights)
    if view.tint is not None:
        share = Image.fromarray((view.tint.mask * np.uint8(255 * TINT)).astype(np.uint8))
        share = share.resize(picture.size, Image.Resampling.NEAREST)
        picture.paste(ImageColor.getrgb(view.tint.colour), mask=share)
    draw = ImageDraw.Draw(picture)
    for layer in view.layers:
        _outline(draw, layer, sheet.scale)
        if layer.label == view.worded:
            _write(draw, layer, view.words, sheet.scale)
    return picture


def _heat(heat: Heat, size_wh: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """Return a map in colours, and how much each counts over the image.

    The scale is the square root, or a crowd would hide what is faint. What is empty is the more
    see-through, the more all of it is.
    """
    share = np.sqrt(np.clip(heat.cells, 0, None) / max(float(heat.cells.max(initial=0)), 1e-9))
    levels = Image.fromarray((share * 255).astype(np.uint8))
    levels.putpalette(HEAT_COLOURS.tobytes())
    weights = Image.fromarray((255 * heat.alpha * share ** (1 - heat.alpha)).astype(np.uint8))
    bilinear = Image.Resampling.BILINEAR
    return levels.convert("RGB").resize(size_wh, bilinear), weights.resize(size_wh, bilinear)


def _outline(draw: ImageDraw.ImageDraw, layer: Boxes, scale: float) -> None:
    thick = max(1, round(LINE_PX * layer.width))
    for x1, y1, x2, y2 in (layer.boxes_xyxy * scale).round().tolist():
        width = thick if min(x2 - x1, y2 - y1) > 5 * thick else 1  # or it would hide its object
        # A box of no pixel is drawn as one, so that nothing that counts is unseen.
        draw.rectangle(
            (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=layer.colour, width=width
        )


def _write(draw: ImageDraw.ImageDraw, layer: Boxes, words: Sequence[str], scale: float) -> None:
    font = ImageFont.load_default(LABEL_PX)
    for (x1, y1, _, _), text in zip((layer.boxes_xyxy * scale).tolist(), words, strict=False):
        draw.rectangle(draw.textbbox((x1 + 2, y1 + 2), text, font=font), fill=layer.colour)
        draw.text((x1 + 2, y1 + 2), text, fill="black", font=font)


def as_html(picture: Image.Image, alt: str) -> str:
    """Return a picture as an HTML image that needs no file, with its words for those who hear."""
    jpeg = files.encode_jpeg(np.asarray(picture), quality=QUALITY, sampling="420")
    data, (width, height) = base64.b64encode(jpeg).decode(), picture.size
    return (
        f'<img alt="{html.escape(alt)}" width="{width}" height="{height}" '
        f'style="max-width: 100%; height: auto" src="data:image/jpeg;base64,{data}">'
    )


def legend(layers: Sequence[Boxes]) -> str:
    """Return the layers' colours, labels and numbers of boxes as HTML."""
    entries = "".join(
        f'<li style="display: inline-block; margin-right: 1em">'
        f'<span style="display: inline-block; width: 0.9em; height: 0.9em; border: 1px solid #666; '
        f'background: {layer.colour}"></span> {html.escape(layer.label)}: {len(layer.boxes_xyxy)}'
        "</li>"
        for layer in layers
    )
    return f'<ul aria-label="Legend" style="list-style: none; margin: 0; padding: 0">{entries}</ul>'
