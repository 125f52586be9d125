"""Class and place in, a small picture out: made-up vehicles and people as a drone sees them.

Everything is built of upright solids in metres (x forward, y to the right, z up) and drawn by one
oblique projection: the ground's y is foreshortened, height goes straight up on the screen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from dmnet_lib.core import files
from dmnet_lib.data.formats.visdrone import VISDRONE

FORESHORTEN, RISE = 0.75, 0.66  # screen pixels per pixel of ground y and of height: 49 degrees down
Colour = tuple[int, int, int]

GLASS, TYRE = (38, 44, 52), (24, 24, 26)
COLOURS = files.values_beside(__file__)
PAINTS, CLOTHES, CARGO, CANOPY = (
    np.array(COLOURS[name]) for name in ("paints", "clothes", "cargo", "canopy")
)


@dataclass(frozen=True)
class Solid:
    """An upright prism: a convex outline_m [n, 2] raised from bottom_m to top_m."""

    outline_m: np.ndarray
    bottom_m: float
    top_m: float
    side: Colour
    roof: Colour


def tint(palette: np.ndarray, rng: np.random.Generator) -> Colour:
    """Return one colour of a palette [n, 3], a little lighter, darker or other than it stands."""
    colour = palette[rng.integers(len(palette))] + rng.integers(-14, 15) + rng.integers(-8, 9, 3)
    return tuple(np.clip(colour, 8, 247).tolist())


def box(
    x_m: tuple[float, float], width_m: float, z_m: tuple[float, float], side: Colour,
    roof: Colour | None = None, *, y_m: float = 0.0, corner_m: float = 0.0,
) -> Solid:  # fmt: skip
    """Return a box from x_m[0] to x_m[1], centred on y_m, its corners cut by corner_m."""
    (a, b), r, c = x_m, width_m / 2, corner_m
    if c:
        outline = [(a + c, -r), (b - c, -r), (b, c - r), (b, r - c),
                   (b - c, r), (a + c, r), (a, r - c), (a, c - r)]  # fmt: skip
    else:
        outline = [(a, -r), (b, -r), (b, r), (a, r)]
    return Solid(np.add(outline, (0, y_m)), *z_m, side, roof or side)


def raised(solids: Sequence[Solid], height_m: float) -> list[Solid]:
    """Return the same solids, standing height_m above the ground."""
    lift = ((s, s.bottom_m + height_m, s.top_m + height_m) for s in solids)
    return [replace(solid, bottom_m=bottom, top_m=top) for solid, bottom, top in lift]


def _person(rng: np.random.Generator, hips_m: float, legs: Solid) -> list[Solid]:
    """Return somebody a little larger than life: it stands for arms and bags."""
    shirt, hair = tint(CLOTHES, rng), tint(CLOTHES[:1], rng)
    neck, crown = hips_m + 0.8, hips_m + 1.15
    torso = box((-0.25, 0.25), 0.78, (hips_m, neck), shirt, corner_m=0.12)
    head = box((-0.2, 0.2), 0.4, (neck, crown), (188, 142, 116), hair, corner_m=0.1)
    return [legs, torso, head]


def _pedestrian(rng: np.random.Generator) -> list[Solid]:
    return _person(rng, 1.0, box((-0.22, 0.22), 0.52, (0, 1.0), tint(CLOTHES[:3], rng)))


def _people(rng: np.random.Generator) -> list[Solid]:
    """Return somebody who sits: the legs lie forward."""
    return _person(rng, 0.4, box((-0.25, 0.75), 0.62, (0, 0.4), tint(CLOTHES, rng)))


def _bicycle(rng: np.random.Generator) -> list[Solid]:
    paint = tint(PAINTS, rng)
    wheels = [box((x - 0.33, x + 0.33), 0.14, (0, 0.62), TYRE) for x in (-0.6, 0.6)]
    bar = box((0.4, 0.52), 0.6, (0.85, 0.95), TYRE)
    return [*wheels, box((-0.5, 0.5), 0.16, (0.45, 0.75), paint), bar]


def _motor(rng: np.random.Generator) -> list[Solid]:
    paint = tint(PAINTS, rng)
    wheels = [box((x - 0.3, x + 0.3), 0.26, (0, 0.55), TYRE) for x in (-0.75, 0.75)]
    body = box((-0.85, 0.2), 0.5, (0.35, 0.75), paint, (30, 28, 30), corner_m=0.12)
    shield = box((0.3, 0.75), 0.55, (0.3, 0.95), paint, corner_m=0.1)
    return [*wheels, body, shield, box((0.45, 0.58), 0.85, (0.95, 1.05), TYRE)]


def _tricycle(rng: np.random.Generator) -> list[Solid]:
    paint = tint(CARGO, rng)
    load = tint(CARGO, rng) if rng.random() < 0.5 else (64, 60, 56)
    bed = box((-1.35, 0.25), 1.25, (0.35, 0.85), paint)
    inside = box((-1.27, 0.17), 1.05, (0.85, 0.9), load)
    fork = box((0.4, 1.35), 0.34, (0.2, 0.75), paint, TYRE)
    return [bed, inside, fork, *_driver(rng), box((0.95, 1.07), 0.8, (0.95, 1.05), TYRE)]


def _driver(rng: np.random.Generator) -> list[Solid]:
    sitting = raised(_people(rng), 0.55)
    return [replace(s, outline_m=np.add(s.outline_m, (0.45, 0))) for s in sitting]


def _awning_tricycle(rng: np.random.Generator) -> list[Solid]:
    paint, canopy = tint(CARGO, rng), tint(CANOPY, rng)
    body = box((-1.35, 0.5), 1.25, (0.3, 1.0), paint)
    glass = box((-1.3, 0.45), 1.15, (1.0, 1.55), GLASS)
    fork = box((0.5, 1.35), 0.36, (0.2, 0.8), paint, TYRE)
    return [body, glass, fork, box((-1.45, 0.95), 1.4, (1.55, 1.7), canopy, corner_m=0.1)]


def _car(rng: np.random.Generator) -> list[Solid]:
    half, width, paint = rng.uniform(1.9, 2.25), rng.uniform(1.7, 1.85), tint(PAINTS, rng)
    rear = rng.choice([-0.62, -0.9]) * half  # a saloon has a boot, a hatchback none
    axles = [box((x - 0.33, x + 0.33), width + 0.08, (0, 0.5), TYRE) for x in (-1.25, 1.25)]
    body = box((-half, half), width, (0.25, 0.85), paint, corner_m=0.3)
    cabin = box((rear, 0.45 * half), width * 0.9, (0.85, 1.2), GLASS, corner_m=0.15)
    roof = box((rear + 0.3, 0.12 * half), width * 0.78, (1.2, 1.4), GLASS, paint, corner_m=0.1)
    return [*axles, body, cabin, roof]


def _van(rng: np.random.Generator) -> list[Solid]:
    half, width, paint = rng.uniform(2.1, 2.4), rng.uniform(1.8, 1.95), tint(PAINTS, rng)
    axles = [box((x - 0.35, x + 0.35), width + 0.08, (0, 0.5), TYRE) for x in (-1.4, 1.4)]
    body = box((-half, half), width, (0.25, 1.1), paint, corner_m=0.15)
    glass = box((-0.98 * half, 0.72 * half), width * 0.95, (1.1, 1.5), GLASS, corner_m=0.1)
    roof = box((-0.98 * half, 0.52 * half), width * 0.93, (1.5, 1.95), paint, corner_m=0.12)
    return [*axles, body, glass, roof]


def _truck(rng: np.random.Generator) -> list[Solid]:
    half, paint, cargo = rng.uniform(2.7, 3.3), tint(PAINTS, rng), tint(CARGO, rng)
    open_bed = rng.random() < 0.35
    frame = box((-half, half), 1.6, (0, 0.6), TYRE)
    cab = box((half - 1.5, half), 2.05, (0.6, 1.4), paint, corner_m=0.1)
    glass = box((half - 1.5, half - 0.05), 1.95, (1.4, 1.8), GLASS)
    top = box((half - 1.5, half - 0.25), 1.95, (1.8, 2.1), paint)
    load = box((-half, half - 1.75), 2.15, (0.61, 1.3 if open_bed else 2.5), cargo)
    floor = box((-half + 0.15, half - 1.9), 1.85, (1.3, 1.35), tint(CARGO, rng))
    return [frame, cab, glass, top, load, *([floor] if open_bed else [])]


def _bus(rng: np.random.Generator) -> list[Solid]:
    half, paint = rng.uniform(3.1, 3.6), tint(PAINTS[4:] if rng.random() < 0.7 else PAINTS, rng)
    axles = [box((x - 0.45, x + 0.45), 2.32, (0, 0.6), TYRE) for x in (-2.0, 2.1)]
    body = box((-half, half), 2.3, (0.3, 1.15), paint, corner_m=0.15)
    glass = box((-half, half), 2.26, (1.15, 1.85), GLASS, corner_m=0.15)
    top = box((-half, half), 2.28, (1.85, 2.35), paint, (226, 226, 222), corner_m=0.2)
    cooler = box((-0.5 * half, 0.1 * half), 1.3, (2.35, 2.55), (196, 198, 200))
    hatch = box((0.5 * half, 0.7 * half), 1.0, (2.35, 2.45), TYRE)
    return [*axles, body, glass, top, cooler, hatch]


def odd_vehicle(rng: np.random.Generator) -> list[Solid]:
    """Return what belongs to no class ("others"): a loader with a shovel and an open cabin."""
    wheels = [box((x - 0.6, x + 0.6), 2.2, (0, 1.1), TYRE, corner_m=0.2) for x in (-1.1, 1.0)]
    engine = box((-1.8, 0.1), 1.5, (0.7, 1.5), (206, 160, 34))
    shovel = box((1.7, 2.5), 2.4, (0.1, 0.8), (120, 112, 92), (70, 66, 60))
    arm = box((0.5, 1.8), 0.5, (0.8, 1.2), (206, 160, 34))
    return [*wheels, engine, shovel, arm, box((-0.5, 0.6), 1.2, (1.5, 2.3), GLASS, (206, 160, 34))]


def clutter(rng: np.random.Generator) -> list[Solid]:
    """Return a thing that looks a little like an object and is none."""
    kind = rng.integers(5)
    if kind == 0:
        half, width, height = rng.uniform((1.3, 1.6, 0.8), (3.0, 2.3, 2.2))
        return [box((-half, half), width, (0, height), tint(CARGO, rng))]
    if kind == 1:
        size, stone = rng.uniform(0.4, 1.4), tint(np.array([(128, 122, 112)]), rng)
        return [box((-size, size), size * 1.5, (0, size * 0.8), stone, corner_m=size * 0.5)]
    if kind == 2:
        return [box((-0.2, 0.2), 0.4, (0, rng.uniform(0.7, 1.8)), tint(CLOTHES, rng), corner_m=0.1)]
    if kind == 3:
        frame = box((-0.9, 0.9), 0.5, (0, 0.55), tint(CARGO, rng))
        return [frame, box((-0.7, 0.2), 0.3, (0.55, 0.9), TYRE)]
    return [box((-1.0, 1.0), 2.0, (1.7, 1.85), tint(CANOPY, rng), corner_m=0.5)]


def building(rng: np.random.Generator, half_m: float, width_m: float) -> list[Solid]:
    """Return a house: flat with fixtures that look like parked cars, or with a pitched roof."""
    wall = tint(np.array([(168, 160, 148), (186, 176, 156), (150, 150, 152)]), rng)
    roof = tint(np.array([(146, 72, 56), (120, 124, 128), (88, 104, 128), (172, 168, 160)]), rng)
    height = rng.uniform(2.5, 7.5)
    body = [box((-half_m, half_m), width_m, (0, height), wall, roof)]
    if rng.random() < 0.45:
        lit = tuple(min(255, int(c * 1.16)) for c in roof)
        slope = box((-half_m, half_m), width_m / 2, (height, height + 0.05), lit, y_m=width_m / 4)
        ridge = box((-half_m, half_m), 0.3, (height + 0.1, height + 0.3), lit)
        return [*body, slope, ridge]
    floor = tuple(int(c * 0.92) for c in roof)
    body.append(box((0.4 - half_m, half_m - 0.4), width_m - 0.8, (height, height + 0.02), floor))
    for _ in range(rng.integers(2, 9)):
        size = rng.uniform(0.5, 2.0)
        x, y = rng.uniform(-0.8, 0.8) * half_m, rng.uniform(-0.38, 0.38) * width_m
        ends, z_m = (x - size, x + size), (height + 0.1, height + 0.9)
        body.append(box(ends, size * 1.1, z_m, tint(PAINTS[2:6], rng), y_m=y))
    return body


BUILDERS: dict[str, Callable[[np.random.Generator], list[Solid]]] = {
    "pedestrian": _pedestrian, "people": _people, "bicycle": _bicycle, "car": _car, "van": _van,
    "truck": _truck, "tricycle": _tricycle, "awning-tricycle": _awning_tricycle, "bus": _bus,
    "motor": _motor,
}  # fmt: skip


def build(class_id: int, rng: np.random.Generator) -> list[Solid]:
    """Return the solids of one object of a class 1..10."""
    return BUILDERS[VISDRONE.name(class_id)](rng)


def on_screen(points_m: np.ndarray, heading: float, px_per_m: float) -> np.ndarray:
    """Return the [n, 2] screen pixels of ground points [n, 2], turned by heading (radians)."""
    c, s = np.cos(heading), np.sin(heading)
    return np.asarray(points_m) @ [[c, s], [-s, c]] * (px_per_m, px_per_m * FORESHORTEN)


def picture(
    solids: Sequence[Solid], xy: np.ndarray, *, heading: float, px_per_m: float, sun_xy: np.ndarray
) -> tuple[Image.Image, tuple[int, int]]:  # fmt: skip
    """Return the RGBA picture of solids that stand at pixel xy, and the pixel of its corner."""
    feet = [on_screen(s.outline_m, heading, px_per_m) + xy for s in solids]
    heights = [(s.bottom_m * px_per_m * RISE, s.top_m * px_per_m * RISE) for s in solids]
    low = np.min([f.min(0) - (0, h[1]) for f, h in zip(feet, heights, strict=True)], axis=0)
    high = np.max([f.max(0) - (0, h[0]) for f, h in zip(feet, heights, strict=True)], axis=0)
    corner = np.floor(low).astype(int) - 1
    size = np.ceil(high).astype(int) + 1 - corner
    fine = 4 if size.max() < 100 else 2  # drawn larger, then reduced; a house needs less of it
    image = Image.new("RGBA", tuple((size * fine).tolist()))
    draw = ImageDraw.Draw(image)
    # Lower solids first, and among equals the ones further away: the painter's algorithm.
    for i in sorted(range(len(solids)), key=lambda i: (solids[i].bottom_m, feet[i][:, 1].mean())):
        _paint(draw, solids[i], (feet[i] - corner) * fine, np.array(heights[i]) * fine, sun_xy)
    return image.reduce(fine), tuple(corner.tolist())


def _paint(
    draw: ImageDraw.ImageDraw, solid: Solid, foot: np.ndarray, rise: np.ndarray, sun_xy: np.ndarray
) -> None:
    """Draw the walls that face the camera, each as bright as the sun makes it, then the roof."""
    low, high = (foot - (0, rise[0])).tolist(), (foot - (0, rise[1])).tolist()
    for i, j in zip(range(-1, len(foot) - 1), range(len(foot)), strict=True):
        run, fall = foot[j] - foot[i]
        if run < 0:  # outlines go clockwise: this wall looks down the screen
            light = 0.68 - 0.22 * np.sign(sun_xy[0]) * fall / np.hypot(run, fall)
            wall = [(*low[i],), (*low[j],), (*high[j],), (*high[i],)]
            draw.polygon(wall, fill=tuple(int(c * light) for c in solid.side))
    draw.polygon([(*point,) for point in high], fill=solid.roof)


def shadow(
    draw: ImageDraw.ImageDraw, solids: Sequence[Solid], xy: np.ndarray, *, heading: float,
    px_per_m: float, sun_xy: np.ndarray,
) -> None:  # fmt: skip
    """Draw the shadow that solids at pixel xy throw on flat ground into a mask."""
    for solid in solids[:3]:
        foot = on_screen(solid.outline_m, heading, px_per_m) + xy
        tip = foot + np.array(sun_xy) * solid.top_m * px_per_m
        foot = foot + np.array(sun_xy) * solid.bottom_m * px_per_m
        for i in range(len(foot)):
            draw.polygon([(*p,) for p in (foot[i - 1], foot[i], tip[i], tip[i - 1])], fill=255)
        draw.polygon([(*p,) for p in tip], fill=255)


@cache
def tree(variant: int) -> Image.Image:
    """Return one of a few fixed crowns, RGBA 128x128: leaves lit from the upper left."""
    rng = np.random.default_rng([17, variant])
    image = Image.new("RGBA", (256, 256))
    draw = ImageDraw.Draw(image)
    base = np.array([(44, 72, 32), (58, 84, 36), (38, 62, 40), (76, 92, 44)][variant % 4])
    for step in np.linspace(0, 1, 420):
        angle, radius = rng.uniform(0, 2 * np.pi), 100 * np.sqrt(rng.random()) * (1 - 0.25 * step)
        x, y = 128 + radius * np.cos(angle) - 14 * step, 128 + radius * np.sin(angle) - 18 * step
        r = rng.uniform(6, 20) * (1 - 0.6 * step)
        light = 0.55 + 0.75 * step + rng.normal(0, 0.1)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple((base * light).astype(int).tolist()))
    return image.reduce(2)
