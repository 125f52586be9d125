"""A camera in, what stands where out: clusters, houses, trees and clutter of a made-up scene."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from dmnet_lib.core import boxes, files
from dmnet_lib.data.formats.visdrone import OTHERS, VISDRONE
from dmnet_lib.data.scenes import sprites, terrain

SCATTERED = 0.1  # share of the objects that stand in no cluster
SQUARE = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])


@dataclass(frozen=True)
class Kind:
    """How a sort of cluster looks: a grid of places, and who stands there, which way."""

    pitch_m: tuple[float, float]  # along and across the cluster
    occupied: float  # share of the places
    jitter: float  # standard deviation of a position, as a share of the pitch
    company: float  # share that stands close to another
    facing: tuple[float, ...]  # headings relative to the cluster's, radians
    turn: float  # standard deviation of the heading, radians
    mix: dict[str, float]  # weights of the classes
    paving: sprites.Colour | None = None  # None: it stands on a road


KINDS = {name: Kind(**kind) for name, kind in files.values_beside(__file__).items()}


@dataclass(frozen=True)
class Thing:
    """Something that stands at pixel xy [2]: solids, or a tree of (variant, metres across)."""

    xy: np.ndarray
    heading: float
    looks: Sequence[sprites.Solid] | tuple[int, float]
    category: int | None = None  # a class, OTHERS, or None for what gets no row


@dataclass
class Plan:
    """A scene in the making; `taken` marks, in eighths of a pixel, what roads and pads occupy."""

    rng: np.random.Generator
    view: terrain.View
    taken: Image.Image
    things: list[Thing] = field(default_factory=list)
    clusters_xyxy: list[np.ndarray] = field(default_factory=list)

    def is_free(self, box_xyxy: np.ndarray) -> bool:
        """Tell whether no road, cluster or house lies in a box."""
        x1, y1, x2, y2 = (int(c) for c in np.asarray(box_xyxy) // 8)
        return self.taken.crop((x1, y1, x2 + 1, y2 + 1)).getbbox() is None

    def take(self, box_xyxy: np.ndarray) -> None:
        """Keep what comes later out of a box."""
        x1, y1, x2, y2 = (int(c) for c in np.asarray(box_xyxy) // 8)
        self.taken.paste(255, (x1, y1, x2 + 1, y2 + 1))

    def anywhere(self) -> np.ndarray:
        """Return a random pixel [2]."""
        return self.rng.uniform(0.01, 0.99, 2) * self.view.size_wh

    def corners(self, half_m: np.ndarray, heading: float, xy: np.ndarray) -> np.ndarray:
        """Return the [4, 2] pixels of a rectangle's corners on the ground around xy."""
        return sprites.on_screen(half_m * SQUARE, heading, self.view.px_per_m(xy[1])) + xy

    def put(
        self, mix: dict[str, float], xy: np.ndarray, heading: float, *, named: bool = True
    ) -> int:
        """Stand an object of a mix of classes at xy and return its class; named: it gets a row."""
        weights = np.array(list(mix.values())) / sum(mix.values())
        class_id = VISDRONE.id(list(mix)[self.rng.choice(len(mix), p=weights)])
        solids = sprites.build(class_id, self.rng)
        self.things.append(Thing(xy, heading, solids, class_id if named else None))
        return class_id

    def put_rider(self, xy: np.ndarray, heading: float) -> None:
        """Sit somebody on the two-wheeler that stands at xy."""
        people = VISDRONE.id("people")
        rider = sprites.raised(sprites.build(people, self.rng), 0.55)
        self.things.append(Thing(xy, heading, rider, people))


def start(rng: np.random.Generator, view: terrain.View) -> Plan:
    """Return a plan with nothing in it but the roads."""
    taken = Image.new("L", (view.size_wh[0] // 8 + 1, view.size_wh[1] // 8 + 1))
    for road in view.roads:
        edge = road.half_m + 2.5
        strip = np.array(road.strip(view, (0, 1), (-edge, edge))) / 8
        ImageDraw.Draw(taken).polygon([*map(tuple, strip)], fill=255)
    return Plan(rng, view, taken)


def clusters(plan: Plan, count: int, draw: ImageDraw.ImageDraw) -> None:
    """Stand 90 % of count objects in two to five clusters; the first one is in the street."""
    rng = plan.rng
    shares = rng.dirichlet(np.full(rng.integers(2, 4 + (count > 60) + (count > 90)), 6.0))
    kinds = ["street", *rng.permutation(["parking", "plaza", "market", "rack", "plaza"])]
    left = 0
    for name, share in zip(kinds, shares, strict=False):
        left += round(share * count * (1 - SCATTERED))
        left -= _cluster(plan, KINDS[str(name)], max(3, left), draw)


def _cluster(plan: Plan, kind: Kind, count: int, draw: ImageDraw.ImageDraw) -> int:
    """Stand objects on a grid of places, on a road or on paved ground; return how many."""
    rng = plan.rng
    road = plan.view.roads[rng.integers(len(plan.view.roads))]
    columns, rows = grid = _grid(rng, kind, count, road)
    half_m = grid * kind.pitch_m / 2
    centre, heading = _place(plan, kind, half_m, road)
    corners = plan.corners(half_m, heading, centre)
    if kind.paving:
        _pave(plan, kind, draw, corners)
    places = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2) + 0.5
    places = rng.permutation(places)[:count] - grid / 2
    places += rng.normal(0, kind.jitter, places.shape)
    joins = np.flatnonzero(rng.random(len(places) - 1) < kind.company)
    places[joins] = places[joins + 1] + rng.normal(0, 0.22, (len(joins), 2))
    spots = (
        sprites.on_screen(places * kind.pitch_m, heading, plan.view.px_per_m(centre[1])) + centre
    )
    for place, xy in zip(places, spots, strict=True):
        facing = rng.choice(kind.facing) if kind.paving else kind.facing[int(place[1] > 0)]
        turned = heading + facing + rng.normal(0, kind.turn)
        made = plan.put(kind.mix, xy, turned)
        if not kind.paving and VISDRONE.name(made) in ("bicycle", "motor") and rng.random() < 0.8:
            plan.put_rider(xy, turned)
    plan.clusters_xyxy.append(boxes.clip(bounds(corners)[None], plan.view.size_wh)[0])
    plan.take(plan.clusters_xyxy[-1])
    return len(places)


def _grid(rng: np.random.Generator, kind: Kind, count: int, road: terrain.Road) -> np.ndarray:
    """Return (columns, rows) with room for count objects; in the street the rows are the lanes."""
    places = count / kind.occupied
    if not kind.paving:
        lanes = round(road.half_m * 2 / terrain.LANE_M)
        return np.array([min(np.ceil(places / lanes), 16), lanes]).astype(int)
    square = np.sqrt(places * kind.pitch_m[0] / kind.pitch_m[1])
    rows = max(2, round(square * rng.uniform(0.6, 1.3)))
    return np.array([max(2, np.ceil(places / rows)), rows]).astype(int)


def _place(
    plan: Plan, kind: Kind, half_m: np.ndarray, road: terrain.Road
) -> tuple[np.ndarray, float]:
    """Return a centre and a heading where a cluster overlaps no other and, if it can, no road."""
    rng, size = plan.rng, plan.view.size_wh
    for attempt in range(400):
        heading = road.heading + (rng.normal(0, 0.12) if kind.paving else 0)
        centre = plan.anywhere() if kind.paving else road.at(rng.uniform(0.1, 0.9), plan.view)
        box = bounds(plan.corners(half_m, heading, centre))
        inside = boxes.area(boxes.clip(box[None], size))[0] > 0.9 * boxes.area(box)[0]
        alone = not boxes.intersection(box, np.array([[0] * 4, *plan.clusters_xyxy])).any()
        if inside and alone and (not kind.paving or attempt > 200 or plan.is_free(box)):
            break
    return centre, heading


def _pave(plan: Plan, kind: Kind, draw: ImageDraw.ImageDraw, corners: np.ndarray) -> None:
    """Pave more than the cluster needs, and paint some lines."""
    rng, middle = plan.rng, corners.mean(0)
    grow = 1 + rng.uniform(12, 90) / np.ptp(corners, axis=0)
    colour = sprites.tint(np.array([kind.paving]), rng)
    apron = middle + (corners - middle) * grow
    draw.polygon([*map(tuple, apron)], fill=colour)
    lines = tuple(c + int(rng.choice([-9, 7])) for c in colour)
    for t in np.arange(0, 1.001, 1 / rng.integers(4, 16)):
        for a, b, c, d in ((0, 1, 3, 2), (0, 3, 1, 2)):
            ends = apron[a] + t * (apron[b] - apron[a]), apron[c] + t * (apron[d] - apron[c])
            draw.line([*map(tuple, ends)], fill=lines)


def bounds(points_xy: np.ndarray) -> np.ndarray:
    """Return the whole-pixel xyxy box around points [n, 2]."""
    return np.array([*np.floor(points_xy.min(0)), *np.ceil(points_xy.max(0))]).astype(int)


def ignored_region(plan: Plan) -> np.ndarray:
    """Return no or one region [r, 4] xyxy far up in the picture, crowded with nameless objects."""
    rng, (width, height) = plan.rng, plan.view.size_wh
    size = rng.uniform((0.08, 0.06), (0.15, 0.1)) * (width, height)
    for _ in range(60 if rng.random() < 0.6 else 0):
        corner = rng.uniform(0, 1, 2) * (width - size[0], 0.3 * height)
        box = np.array([*corner, *(corner + size)]).astype(int)
        if plan.is_free(box):
            plan.take(box)
            for xy in rng.uniform(box[:2] + 8, box[2:] - 4, (rng.integers(10, 30), 2)):
                plan.put(KINDS["market"].mix, xy, rng.uniform(0, 6), named=False)
            return box[None]
    return np.zeros((0, 4), int)


def scatter(plan: Plan, count: int) -> None:
    """Stand count objects along the roads and walkers anywhere, and up to two odd vehicles."""
    rng, view = plan.rng, plan.view
    while count > 0:
        road = view.roads[rng.integers(len(view.roads))]
        lane = (
            rng.integers(round(road.half_m * 2 / terrain.LANE_M)) + 0.5
        ) * terrain.LANE_M - road.half_m
        walks = rng.random() < 0.4
        aside = rng.choice([-1, 1]) * (road.half_m + 1) if walks else lane
        xy = road.at(rng.uniform(0.01, 0.99), view, offset_m=aside)
        xy = plan.anywhere() if walks and rng.random() < 0.4 else xy
        if not any(np.all((xy >= c[:2]) & (xy < c[2:])) for c in plan.clusters_xyxy):
            heading = road.heading + (np.pi if lane > 0 else 0) + rng.normal(0, 0.06)
            plan.put(KINDS["plaza" if walks else "street"].mix, xy, heading)
            count -= 1
    for _ in range(rng.integers(0, 3)):
        odd = sprites.odd_vehicle(rng)
        plan.things.append(Thing(plan.anywhere(), rng.uniform(0, 6), odd, OTHERS))


def houses(plan: Plan) -> None:
    """Stand houses where nothing else is, in line with the first road."""
    rng = plan.rng
    for _ in range(rng.integers(30, 110)):
        xy, half_m = plan.anywhere(), rng.uniform((6, 4), (17, 8))
        heading = plan.view.roads[0].heading + rng.choice([0, np.pi / 2]) + rng.normal(0, 0.03)
        rise = 6 * plan.view.px_per_m(xy[1])
        box = bounds(plan.corners(half_m, heading, xy)) - (8, rise, -8, -8)
        if plan.is_free(box):
            plan.take(box)
            plan.things.append(Thing(xy, heading, sprites.building(rng, half_m[0], 2 * half_m[1])))


def trees(plan: Plan) -> None:
    """Plant rows along the roads, groves on free ground and a few crowns over the clusters."""
    rng, view = plan.rng, plan.view
    spots = [plan.anywhere() for _ in range(rng.integers(8, 24))]
    for road in view.roads:
        for side in rng.permutation([-1, 1])[: rng.integers(0, 3)]:
            shares = np.arange(0.02, 1, rng.uniform(0.022, 0.06))
            spots += [road.at(t, view, offset_m=side * (road.half_m + 4.5)) for t in shares]
    for _ in range(rng.integers(3, 14)):
        middle, spread = plan.anywhere(), rng.uniform(30, 170)
        spots += [*(middle + rng.normal(0, spread, (rng.integers(5, 40), 2)) * (1, 0.7))]
    for xy in spots:
        across = rng.uniform(3.0, 8.5)
        reach = across * view.px_per_m(xy[1]) * 0.4
        free = plan.is_free(bounds(np.add(xy, [(-reach, -2 * reach), (reach, 0)])))
        if free or rng.random() < 0.15:
            plan.things.append(Thing(xy, 0.0, (int(rng.integers(12)), across)))


def clutter(plan: Plan, draw: ImageDraw.ImageDraw) -> None:
    """Strew what looks like an object and is none: paint, bushes, containers, stones, posts."""
    rng = plan.rng
    for _ in range(rng.integers(40, 110)):
        xy, heading, sort = plan.anywhere(), rng.uniform(0, 6), rng.random()
        if sort < 0.3:
            flat = plan.corners(rng.uniform((0.4, 0.3), (2.4, 1.1)), heading, xy)
            draw.polygon([*map(tuple, flat)], fill=sprites.tint(terrain.GROUNDS, rng))
        elif sort < 0.5:
            plan.things.append(Thing(xy, 0.0, (int(rng.integers(12)), rng.uniform(0.8, 2.2))))
        elif plan.is_free(bounds(np.add(xy, [(-9, -9), (9, 9)]))) or rng.random() < 0.25:
            plan.things.append(Thing(xy, heading, sprites.clutter(rng)))
