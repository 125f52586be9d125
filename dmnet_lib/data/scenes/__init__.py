"""A seed in, made-up drone pictures in VisDrone's layout out: the embedded data set.

Most objects stand in a few clusters (crowds, parking lots, streets, markets) that cover less than a
third of the picture, as in real drone images; the rest is scattered along the roads. Image i of a
split depends on (seed, split, i) alone.
"""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from dmnet_lib.core import boxes, files, images, parallel
from dmnet_lib.core.files import InputError
from dmnet_lib.core.made import Made
from dmnet_lib.data.formats import visdrone
from dmnet_lib.data.formats.visdrone import IGNORED, OTHERS
from dmnet_lib.data.scenes import layout, sprites, terrain

SPLITS = ("train", "val", "test-dev")  # the position is the split's number in the seed
EMPTY_EVERY, EMPTY_AT = 17, 11  # image k of a split shows no object where k % 17 == 11


@dataclass(frozen=True)
class Scene:
    """image [H, W, 3] uint8, rows [n, 8] int (VisDrone's fields), clusters_xyxy [c, 4] int."""

    image: np.ndarray
    rows: np.ndarray
    clusters_xyxy: np.ndarray


def scene(rng: np.random.Generator, *, empty: bool = False) -> Scene:
    """Return a made-up picture with its rows; an empty one has houses and trees, but no object."""
    view = terrain.look(rng)
    ground = terrain.ground(rng, view)
    draw = ImageDraw.Draw(ground)
    plan, ignored_xyxy = layout.start(rng, view), np.zeros((0, 4), int)
    if not empty:
        count = int(33 + 155 * rng.beta(1.15, 1.8))
        layout.clusters(plan, count, draw)
        ignored_xyxy = layout.ignored_region(plan)
        layout.scatter(plan, round(count * layout.SCATTERED))
    layout.houses(plan)
    layout.trees(plan)
    layout.clutter(plan, draw)
    ground = terrain.roughen(ground, terrain.noise(rng, view.size_wh, (40, 3, 1), 0.13))
    image, rows = _draw(plan, _shade(plan, ground))
    for x, y, w, h in boxes.xyxy_to_xywh(ignored_xyxy).tolist():
        far = image.crop((x, y, x + w, y + h)).filter(ImageFilter.GaussianBlur(2.2))
        image.paste(far, (x, y))
        rows.append([x, y, w, h, 0, IGNORED, 0, 0])
    clusters_xyxy = np.array(plan.clusters_xyxy, np.int64).reshape(-1, 4)
    table = np.array(rows, np.int64).reshape(-1, 8)
    return Scene(np.asarray(terrain.weather(rng, image)), table, clusters_xyxy)


def _shade(plan: layout.Plan, ground: Image.Image) -> Image.Image:
    """Return the ground with the shadows of all things."""
    view, mask = plan.view, Image.new("L", ground.size)
    draw = ImageDraw.Draw(mask)
    for thing in plan.things:
        scale = view.px_per_m(thing.xy[1])
        if isinstance(thing.looks, tuple):
            radius = thing.looks[1] * scale * 0.45
            x, y = thing.xy + view.sun_xy * radius * 1.2
            draw.ellipse((x - radius, y - radius * 0.75, x + radius, y + radius * 0.75), fill=255)
        else:
            place = {"heading": thing.heading, "px_per_m": scale, "sun_xy": view.sun_xy}
            sprites.shadow(draw, thing.looks, thing.xy, **place)
    depth = plan.rng.uniform(0.15, 0.6)
    soft = mask.filter(ImageFilter.BoxBlur(1)).point([int(v * depth) for v in range(256)])
    return Image.composite(Image.new("RGB", ground.size, (16, 20, 30)), ground, soft)


def _draw(plan: layout.Plan, image: Image.Image) -> tuple[Image.Image, list[list[int]]]:
    """Draw all things, the far ones first; return the picture and the objects' rows."""
    view, shown = plan.view, []
    owners = np.zeros((view.size_wh[1], view.size_wh[0]), np.int16)  # whose pixel it is
    for number, thing in enumerate(sorted(plan.things, key=lambda t: t.xy[1]), start=1):
        picture, corner = _picture(thing, view)
        image.paste(picture, corner, picture)
        solid = picture.getchannel("A").point([0] * 110 + [255] * 146)
        if (around := solid.getbbox()) is None:
            continue
        mask = np.asarray(solid.crop(around)) > 0
        full = np.add(around, (*corner, *corner))
        x1, y1, x2, y2 = box = boxes.clip(full[None], view.size_wh)[0]
        if x1 < x2 and y1 < y2:
            cut = mask[y1 - full[1] : y2 - full[1], x1 - full[0] : x2 - full[0]]
            owners[y1:y2, x1:x2][cut] = number
            shown.append((number, thing.category, box, cut.sum(), mask.sum()))
    objects = [entry for entry in shown if entry[1] is not None and entry[3] > 0.3 * entry[4]]
    return image, [_row(owners, *entry) for entry in objects]


def _row(
    owners: np.ndarray, number: int, category: int, box_xyxy: np.ndarray, inside: int, whole: int
) -> list[int]:
    """Return the VisDrone fields of an object from the pixels that it still owns."""
    x1, y1, x2, y2 = box_xyxy.tolist()
    seen = np.count_nonzero(owners[y1:y2, x1:x2] == number) / inside
    evaluated = category != OTHERS and seen > 0.15  # nobody is asked to find what is hidden
    occlusion = 0 if seen > 0.9 else 1 if seen > 0.5 else 2
    return [x1, y1, x2 - x1, y2 - y1, int(evaluated), category, int(inside < whole), occlusion]


def _picture(thing: layout.Thing, view: terrain.View) -> tuple[Image.Image, tuple[int, int]]:
    """Return a thing's RGBA picture and the pixel of its corner."""
    scale = view.px_per_m(thing.xy[1])
    if not isinstance(thing.looks, tuple):
        return sprites.picture(
            thing.looks, thing.xy, heading=thing.heading, px_per_m=scale, sun_xy=view.sun_xy
        )
    variant, across_m = thing.looks
    side = max(4, round(across_m * scale))
    crown = sprites.tree(variant).resize((side, side))
    return crown, (round(thing.xy[0] - side / 2), round(thing.xy[1] - side * 0.85))


def write(root: Path, *, train: int, val: int, test: int, seed: int, jobs: int = 0) -> Path:
    """Make the three splits under root in VisDrone's layout and return root; once made, do nothing.

    jobs: worker processes, 0 for one a core; they may be spawned, so a script that wants several
    has to guard its main part by `if __name__ == "__main__"`.
    Raises InputError when root holds something that this function did not make.
    """
    counts = dict(zip(SPLITS, (train, val, test), strict=True))
    label = {"counts": counts, "seed": seed, "version": _version(), "whole": True}
    wanted = [(split, index) for split in SPLITS for index in range(counts[split])]
    names = [[p.relative_to(root).as_posix() for p in _paths(root, *which)] for which in wanted]
    made, of = Made.at(root, "scenes", ["scenes.json"], overwrite=True), f"{seed} {_version()}"
    if _label(root) == label and all(made.stands(name, of) for pair in names for name in pair):
        parallel.say_reused(f"{len(wanted)} scenes")
        return root
    _clear(root)
    files.remove_parts(root.rglob(files.PARTS))
    # Marked as ours from the first file on, so that a killed run can be taken up again.
    files.write_json(root / "scenes.json", label | {"whole": False})
    made.begin()
    with parallel.pool(jobs, tasks=len(wanted) // 4) as executor:  # it must be worth its start
        drawn = parallel.run(partial(_write_one, root, seed), wanted, executor=executor, chunk=2)
        shown = parallel.bar(drawn, desc="scenes", total=len(wanted), unit="image")
        for pair, _ in zip(names, shown, strict=True):
            made.add(*pair, of=of)
    return files.write_json(root / "scenes.json", label).parent


def prepare(root: Path, *, dataset: str, **wanted: int) -> Path:
    """Return root, where `write` makes the scenes that are wanted when dataset is "scenes"."""
    return write(root, **wanted) if dataset == "scenes" else root


def _paths(root: Path, split: str, index: int) -> tuple[Path, Path]:
    folder, stem = root / f"VisDrone2019-DET-{split}", f"scene_{split}_{index:04d}"
    return folder / "images" / f"{stem}.jpg", folder / "annotations" / f"{stem}.txt"


def _write_one(root: Path, seed: int, which: tuple[str, int]) -> None:
    split, index = which
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    made = scene(rng, empty=index % EMPTY_EVERY == EMPTY_AT)
    image, text = _paths(root, split, index)
    files.write_bytes(image, images.encode_jpeg(made.image))
    files.write_text(text, visdrone.format_rows(made.rows))


def _version() -> str:
    """Return a digest of the source that draws: other code, other pictures."""
    own = sorted(path for path in Path(__file__).parent.iterdir() if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in own)).hexdigest()[:16]


def _label(root: Path) -> object:
    """Return what the scenes that are there were made with; None where there are none."""
    return files.read_json(root / "scenes.json") if (root / "scenes.json").is_file() else None


def _clear(root: Path) -> None:
    """Remove the scenes of another seed or version; refuse a folder that is not ours."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    found = _label(root)
    if not isinstance(found, dict) or not {"counts", "seed", "version"} <= found.keys():
        raise InputError(f"{root}: holds something other than made-up scenes; choose a new folder")
    for split in SPLITS:
        for old in (root / f"VisDrone2019-DET-{split}").glob(f"*/scene_{split}_*"):
            old.unlink()
