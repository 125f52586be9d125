"""Density-map guided object detection in aerial images: annotations -> crops -> metrics.

    import dmnet_lib as dmnet

    split = dmnet.load_split("data/VisDrone", "val")             # images and annotations
    points = dmnet.points_of(split.annotations)                  # centres of the objects
    density = dmnet.density_map(points, 0)                       # [H, W], sums to their number
    sums = dmnet.window_sums(points, (70, 70))                   # objects in each window, per image
    crops = dmnet.dense_regions(                                 # the rule of the paper
        sums, split.annotations.sizes_wh, threshold=0.08, policy=dmnet.CropPolicy())
    dmnet.crop_geometry(split.annotations, crops)                # containment, coverage, …
    predictor = dmnet.Predictor.of_run("results/demo")           # a finished run
    prediction = predictor("picture.jpg")                        # detections, crops, density

Nothing is imported before it is asked for.
"""

import importlib
import os

# Threads that spin while they wait take the cores from other work; read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

EXPORTS = {  # name here: module, and its name there
    "Annotations": ("core.annotations", "Annotations"),
    "CropPlanner": ("cropping.planning", "CropPlanner"),
    "CropPolicy": ("cropping.threshold", "Policy"),
    "Detections": ("core.tables", "Detections"),
    "InputError": ("core.files", "InputError"),
    "Predictor": ("detection.predict", "Predictor"),
    "Regions": ("core.tables", "Regions"),
    "crop_geometry": ("cropping.geometry", "crop_geometry"),
    "dense_regions": ("cropping.threshold", "split_regions"),
    "density_map": ("density.maps", "draw"),
    "evaluate": ("evaluation.coco", "evaluate"),
    "fuse": ("detection.fusion", "fuse"),
    "load_split": ("data.datasets", "load"),
    "points_of": ("density.points", "from_annotations"),
    "window_sums": ("density.windows", "sums_from_points"),
}
__all__ = list(EXPORTS)


def __getattr__(name: str) -> object:
    """Return a public name, imported when it is first asked for."""
    if name not in EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, original = EXPORTS[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), original)


def __dir__() -> list[str]:
    return sorted([*globals(), *EXPORTS])
