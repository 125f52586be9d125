"""Annotations of a split -> its density maps, one file per image, and density.json."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from dmnet_lib.core import files, parallel
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.files import InputError
from dmnet_lib.core.official import KernelRules, Profile
from dmnet_lib.density import maps, sizes
from dmnet_lib.density.points import Points
from dmnet_lib.density.sizes import Bins
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import Say, option

LISTING, SIZES = "density.json", "sizes.json"


@dataclass(frozen=True)
class Options:
    """A split, its kernels, and the maps to write: cells of `stride` px, split at sides in px."""

    source: common.SplitOptions
    out: Path = option("folder to write to")
    replaced: common.OutOptions
    stride: int = option("side of a map's cell in pixels", type=common.count, default=1)
    format: str = option("npz is packed", choices=("npy", "npz"), default="npy")
    edges: str = option("sides at which to split maps", "--sizes", default="", metavar="PX,PX")
    workers: common.WorkerOptions
    kernels: common.KernelOptions
    profile: Profile = common.rules("annotations", "points", "sigmas", "kernel", "maps")


def run(options: Options, say: Say) -> None:
    edges_px = sizes.parse(options.edges)
    annotations = options.source.read(say).annotations
    points = options.kernels.points_of(annotations, options.source, options.profile)
    counts = dict(zip(points.names, points.counts().tolist(), strict=True))
    empty = [name for name, count in counts.items() if not count]
    if empty and options.profile.maps.empty_density == "refused":
        what = f"{len(empty)} images have no object, first {empty[0]}, where the official code ends"
        raise InputError(f"{what}; --set empty_density=written gives them maps of zeros")
    listed = {"parameters": _parameters(options, points, edges_px, annotations.classes)}
    if options.kernels.sigma_rule == "class_wise":
        say(f"sigmas in px, of train's objects: {listed['parameters']['class_sigmas_px']}")
    names = [f"{name}.{options.format}" for name in points.names]
    made = options.replaced.made(options.out, "density", (LISTING, SIZES, *names))
    made.begin(names)
    files.write_json(options.out / LISTING, listed)
    bins = sizes.measure(annotations, edges_px)
    if edges_px:
        sizes.write(options.out / SIZES, bins)
    draw = partial(_draw, bins=bins, stride=options.stride, kernel=options.profile.kernel)
    of = files.digest_of(listed)
    due = [(i, name) for i, name in enumerate(names) if not made.stands(name, of)]
    tasks = [(files.inside(options.out, name), points.of_image(i)) for i, name in due]
    with options.workers.lend_for(len(tasks)) as executor:
        drawn = parallel.run(draw, tasks, executor=executor, chunk=4, label="density")
        for (_, name), _ in zip(due, drawn, strict=True):
            made.add(name, of=of)
    files.write_json(options.out / LISTING, {**listed, "objects": counts})
    made.add(LISTING, SIZES)
    kept = len(names) - len(due)
    resumed = f" ({kept} were there)" if kept else ""
    say(f"{options.out}: {len(points.names)} maps{resumed}, {len(points):,} objects")


def _parameters(
    options: Options, points: Points, edges_px: tuple[float, ...], classes: Classes
) -> dict[str, object]:
    """Return what the maps are made with; "points" stands for all that is drawn."""
    columns = [points.xy, points.sigmas_px, points.image_index, points.sizes_wh]
    columns += [points.sides_px] if edges_px else []
    digest = hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()
    made_by = common.parameters(options.source, options.kernels, options.profile)
    made_by |= {"stride": options.stride, "format": options.format, "points": digest}
    if edges_px:
        made_by["sizes"] = list(edges_px)
    if options.kernels.sigma_rule == "class_wise":
        class_ids, first = np.unique(points.class_ids, return_index=True)
        sigmas = zip(class_ids.tolist(), points.sigmas_px[first].tolist(), strict=True)
        of_class = {classes.name(class_id): round(px, 3) for class_id, px in sigmas}
        made_by |= {"sigma": None, "class_sigmas_px": of_class}
    return made_by


def _draw(task: tuple[Path, Points], *, bins: Bins, stride: int, kernel: KernelRules) -> None:
    """Write the map or maps of one image."""
    path, points = task
    cells = maps.by_size(points, 0, bins, stride=stride, kernel=kernel)
    maps.write(path, cells if len(bins) > 1 else cells[0])
