"""A random generator in, empty ground and weather out: what lies under and over made-up scenes."""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from dmnet_lib.data.scenes.sprites import COLOURS, FORESHORTEN, on_screen

SIZES_WH = ((1920, 1080), (2000, 1500))
LANE_M = 3.2
ASPHALT = (92, 92, 94)
GROUNDS = np.array(COLOURS["grounds"])


@dataclass(frozen=True)
class Road:
    """A straight road between two pixels on the image's border, half_m metres to either side."""

    start_xy: np.ndarray
    end_xy: np.ndarray
    half_m: float

    @property
    def heading(self) -> float:
        """The direction on the ground, in radians."""
        run, fall = self.end_xy - self.start_xy
        return float(np.arctan2(fall / FORESHORTEN, run))

    def at(self, t: np.ndarray | float, view: "View", *, offset_m: float = 0.0) -> np.ndarray:
        """Return the pixel [2] a share t of the way along, offset_m to the right."""
        middle = self.start_xy + t * (self.end_xy - self.start_xy)
        aside = on_screen(np.array([[0.0, offset_m]]), self.heading, view.px_per_m(middle[1]))
        return middle + aside[0]

    def strip(
        self, view: "View", t: tuple[float, float], offset_m: tuple[float, float]
    ) -> list[tuple[float, float]]:
        """Return the four corners of the part between two shares and two offsets."""
        (start, end), (left, right) = t, offset_m
        corners = (start, left), (end, left), (end, right), (start, right)
        return [tuple(self.at(share, view, offset_m=aside)) for share, aside in corners]

    def share_per_m(self, t: float, view: "View") -> float:
        """Return how much of the way one metre is at t."""
        way = self.end_xy - self.start_xy
        metre = on_screen(np.array([[1.0, 0.0]]), self.heading, view.px_per_m(self.at(t, view)[1]))
        return float(np.linalg.norm(metre) / np.linalg.norm(way))


@dataclass(frozen=True)
class View:
    """The camera over one scene: image size, scale, sun and roads."""

    size_wh: tuple[int, int]
    scale: float  # pixels per metre where the depth factor is 1
    sun_xy: np.ndarray  # how far a metre of height throws its shadow, in metres
    roads: list[Road] = field(default_factory=list)

    def px_per_m(self, y: float) -> float:
        """Return the scale at a row: 0.6 of the nominal one at the top, 1.2 at the bottom."""
        return self.scale * (0.6 + 0.6 * float(np.clip(y / self.size_wh[1], 0, 1)))


def look(rng: np.random.Generator) -> View:
    """Return a camera over one road down the picture and, mostly, one or two across it."""
    width, height = SIZES_WH[rng.integers(len(SIZES_WH))]
    sun = np.array([rng.choice([-1, 1]) * rng.uniform(0.35, 0.9), rng.uniform(-0.35, 0.3)])
    view = View((width, height), rng.uniform(8.2, 9.8), sun)
    x, y = rng.uniform(0.15, 0.85) * width, rng.uniform(0.3, 0.85) * height
    lean, tilt = rng.uniform(-0.2, 0.2) * width, rng.uniform(-0.15, 0.15) * height
    view.roads.append(_road((x, height + 60), (x + lean, -60), rng))
    view.roads.append(_road((-60, y), (width + 60, y + tilt), rng))
    if rng.random() < 0.5:
        y += height * (-0.45 if y > 0.55 * height else 0.4)
        view.roads.append(_road((-60, y), (width + 60, y + tilt / 2), rng))
    return view


def _road(start: tuple[float, float], end: tuple[float, float], rng: np.random.Generator) -> Road:
    return Road(np.array(start, float), np.array(end, float), LANE_M * rng.integers(1, 4))


@cache
def _noise(variant: int, octaves: tuple[int, ...]) -> Image.Image:
    """Return a fixed 2400x1900 grey texture around 128; octaves are grain sizes in pixels."""
    rng = np.random.default_rng([29, variant])
    total = np.zeros((1900, 2400), np.float32)
    for grain in octaves:
        small = rng.normal(0, 1, (1900 // grain + 2, 2400 // grain + 2)).astype(np.float32)
        total += Image.fromarray(small).resize((2400, 1900), Image.Resampling.BICUBIC)
    total *= 42 / total.std()
    return Image.fromarray(np.clip(total + 128, 0, 255).astype(np.uint8))


def noise(
    rng: np.random.Generator, size_wh: tuple[int, int], octaves: tuple[int, ...], strength: float
) -> Image.Image:
    """Return a grey texture around 128 with a standard deviation of 42 * strength."""
    whole = _noise(int(rng.integers(2)), octaves)
    x, y = rng.integers(0, 2400 - size_wh[0] + 1), rng.integers(0, 1900 - size_wh[1] + 1)
    part = whole.crop((x, y, x + size_wh[0], y + size_wh[1]))
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return part.point([int(128 + (v - 128) * strength) for v in range(256)])


def roughen(image: Image.Image, grain: Image.Image) -> Image.Image:
    """Return the image with a grey texture around 128 added to all of its channels."""
    return ImageChops.add(image, Image.merge("RGB", [grain] * 3), offset=-128)


def ground(rng: np.random.Generator, view: View) -> Image.Image:
    """Return grass and soil with the roads on them, RGB."""
    first, second = GROUNDS[rng.permutation(len(GROUNDS))[:2]] + rng.integers(-12, 13, (2, 1))
    patches = noise(rng, view.size_wh, (260, 90, 30), 3.0)
    colours = [Image.new("RGB", view.size_wh, tuple(c.tolist())) for c in (first, second)]
    image = Image.composite(*colours, patches)
    image = roughen(image, noise(rng, view.size_wh, (24, 7, 2), 0.26))
    draw = ImageDraw.Draw(image)
    tone = int(rng.integers(-16, 22))
    for road in view.roads:
        walk = tuple(int(c) + 52 + tone for c in ASPHALT)
        draw.polygon(road.strip(view, (0, 1), (-road.half_m - 2, road.half_m + 2)), fill=walk)
    for road in view.roads:
        asphalt = tuple(c + tone for c in ASPHALT)
        draw.polygon(road.strip(view, (0, 1), (-road.half_m, road.half_m)), fill=asphalt)
    for road in view.roads:
        _mark(draw, view, road)
    return image


def _mark(draw: ImageDraw.ImageDraw, view: View, road: Road) -> None:
    """Paint the road's dashed lane lines and, where it is wide enough, a middle line."""
    lines = np.arange(-road.half_m + LANE_M, road.half_m - 0.1, LANE_M)
    t = 0.0
    while t < 1:
        metre = road.share_per_m(t, view)
        for line in lines:
            middle = abs(line) < 0.1
            colour = (186, 160, 88) if middle else (196, 196, 192)
            dash = (t, t + metre * (6.1 if middle and len(lines) > 1 else 2.5))
            draw.polygon(road.strip(view, dash, (line - 0.09, line + 0.09)), fill=colour)
        t += 6 * metre


def weather(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Return the picture under its light: contrast, colour cast, haze, blur and sensor noise."""
    gain, lift = rng.uniform(0.72, 1.3), rng.uniform(-8, 20)
    cast = gain * rng.uniform(0.93, 1.07, 3)
    image = image.point([int(np.clip(v * c + lift, 0, 255)) for c in cast for v in range(256)])
    haze = Image.new("RGB", image.size, (198, 206, 212))
    depth = np.linspace(rng.uniform(0, 110), rng.uniform(0, 30), image.height)[:, None]
    image = Image.composite(haze, image, Image.fromarray(depth.astype(np.uint8)).resize(image.size))
    image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.1, 0.6)))
    grains = [noise(rng, image.size, (1,), rng.uniform(0.05, 0.18)) for _ in range(3)]
    return ImageChops.add(image, Image.merge("RGB", grains), offset=-128)
