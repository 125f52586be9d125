"""Annotations of a split -> its density maps, one npy file an image, and density.json."""

import argparse
import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from dmnet_lib import density, files, profiles
from dmnet_lib.annotations import CLASS_IDS, CLASSES
from dmnet_lib.commands import common
from dmnet_lib.files import InputError
from dmnet_lib.points import Kernel, Points

ABOUT = """\
Draw the density maps of a split: every object is one Gaussian of mass 1, so a map sums to the
number of objects.

Writes DIR/<stem>.npy, float32 [H, W] (at --stride S: [H/S, W/S], the sums over blocks), and
DIR/density.json: the parameters and each image's objects and sum. No image is decoded. A run that
was stopped goes on where it was. `dmnet crops` needs no maps: it takes the same sums from the
annotations."""
EXAMPLES = """\
examples:
  dmnet density data/VisDrone --split val --out maps
  dmnet density data/VisDrone --split val --out maps --sigma-rule class_wise --stride 4
  dmnet density data/VisDrone --split val --out maps --image-sizes sizes_val.json
  dmnet density data/VisDrone --split train --out maps --profile official"""
LISTING = "density.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    common.add_split(parser)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    add("--stride", type=common.count, default=1, metavar="S",
        help="side of a map's cell in pixels (default 1; MCNN predicts at 4)")  # fmt: skip
    common.add_kernels(parser)
    common.add_profile(parser, "score0", "points", "sigmas", "density", "maps")


def run(chosen: argparse.Namespace, say: Callable[[str], None]) -> int:
    """Run the command; return its exit status."""
    rules = common.profile_of(chosen)
    found = common.points_of(common.load(chosen, say).annotations, chosen, rules)
    counts = dict(zip(found.names, found.counts().tolist(), strict=True))
    _refuse_empty(counts, rules)
    _require_space(chosen.out, found, chosen.stride)
    names = ("sigma_rule", "sigma", "neighbours", "beta", "stride")
    drawn = hashlib.sha256(found.xy.tobytes() + found.sigmas_px.tobytes()).hexdigest()
    made_by = common.parameters(chosen, rules, *names) | {"points": drawn}
    if chosen.sigma_rule == "class_wise":
        made_by |= {"sigma": None, "class_sigmas_px": _class_sigmas(found)}
        say(f"sigmas in px, of train's objects: {made_by['class_sigmas_px']}")
    listed = {"parameters": made_by}
    common.refuse_others(chosen.out / LISTING, listed, *chosen.out.glob("*.npy"))
    files.write_json(chosen.out / LISTING, listed)
    kernel, kept = Kernel(**rules.of("density")), 0
    for index, stem in enumerate(common.progress(found.names, "density")):
        path = files.inside(chosen.out, f"{stem}.npy")
        if path.is_file():
            kept += 1
            continue
        files.write_npy(path, density.draw(found, index, stride=chosen.stride, rules=kernel))
    files.write_json(chosen.out / LISTING, {**listed, "objects": counts})
    resumed = f" ({kept} were there)" if kept else ""
    say(f"{chosen.out}: {len(found.names)} maps{resumed}, {len(found):,} objects")
    return 0


def _class_sigmas(found: Points) -> dict[str, float]:
    """Return the sigma of each class that has points."""
    classes, first = np.unique(found.class_ids, return_index=True)
    named = zip(classes.tolist(), found.sigmas_px[first].tolist(), strict=True)
    return {CLASSES[class_id - CLASS_IDS[0]]: round(sigma, 3) for class_id, sigma in named}


def _refuse_empty(counts: Mapping[str, int], rules: profiles.Profile) -> None:
    """Raise InputError for images without objects where the rules refuse them."""
    empty = [name for name, count in counts.items() if not count]
    if empty and rules["empty_density"] == "refused":
        raise InputError(
            f"{len(empty)} images have no object, first {empty[0]}: the released script ends "
            "there; --set empty_density=written gives them maps of zeros"
        )


def _require_space(out: Path, found: Points, stride: int) -> None:
    """Raise InputError where the maps do not fit on the disk."""
    needed = int(4 * (found.sizes_wh.prod(axis=1) / stride**2).sum())
    home = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    there = sum(path.stat().st_size for path in out.glob("*.npy"))
    free = shutil.disk_usage(home).free + there
    if needed > free:
        raise InputError(
            f"{out}: the maps need {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            "a --stride of 4 needs a sixteenth"
        )
