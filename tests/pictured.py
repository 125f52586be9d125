"""A run whose images and detections are at hand, as pages with pictures need it."""

from pathlib import Path

import numpy as np
from builders import write_split

from dmnet_lib.core import files, images
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.core.tables import Detections, Regions
from dmnet_lib.data import datasets
from dmnet_lib.detection import strategies
from dmnet_lib.detection.strategies import Outcome
from dmnet_lib.detection.strategy import described

# a: two cars, of which global finds one and has a false box; b: nothing, and a false box; c: a car.
TEXTS = {
    "a": "10,10,20,20,1,4,0,0\n60,10,20,20,1,4,0,0\n",
    "b": "",
    "c": "10,40,20,20,1,4,0,0\n",
}
FOUND = {  # rows of image, x1, y1, x2, y2; with more of them, tiles find less
    "global": [(0, 10, 10, 30, 30), (0, 100, 60, 120, 80), (1, 0, 0, 9, 9)],
    "sliding 640": [],
    "planned mcnn 6": [(0, 10, 10, 30, 30), (0, 60, 10, 80, 30), (2, 10, 40, 30, 60)],
}
SIZE_WH = (160, 120)
NAMES = tuple(FOUND)


def add(home: Path, data: Path) -> dict[str, dict[str, str]]:
    """Leave data and the stages 00 and 05 of a run; return their entries for latest.json."""
    folder = data / "VisDrone2019-DET-val"
    write_split(folder, TEXTS)
    for number, stem in enumerate(TEXTS):
        pixels = np.full((*SIZE_WH[::-1], 3), 60 * number, np.uint8)
        files.write_bytes(folder / "images" / f"{stem}.jpg", images.encode_jpeg(pixels))
    first, detected = home / "00_dataset" / "k", home / "05_fused_detection" / "k"
    values = f"dataset: visdrone\ndata_root: {data}\nlayout: ''\nclasses: ''\ntest_split: val\n"
    files.write_text(first / "params.yaml", values)
    files.write_json(first / "dataset.json", {"fingerprint": "f"})
    names = datasets.Source("visdrone", data).load("val").annotations
    crops = Regions.from_lists([np.array([[0, 0, 80, 60]])] * len(TEXTS))
    found = {}
    for name, record in described(NAMES).items():
        rows = np.array(FOUND[name], float).reshape(-1, 5)
        count, image = len(rows), rows[:, 0].astype(int)
        columns = rows[:, 1:], np.full(count, 0.9), np.full(count, 4), image
        detections = Detections(names.names, *columns, names.classes)
        found[name] = Outcome(record, detections, crops, 1.0, 0.5)
    strategies.write(detected, found)
    seconds = dict(zip(NAMES, (0.1, 0.6, 0.4), strict=True))
    files.write_json(detected / "timings.json", seconds)
    return {"00_dataset": {"key": "k"}, "05_fused_detection": {"key": "k"}}


def judged_run(tmp_path: Path) -> ResultFolder:
    """Return such a run, without an evaluation."""
    home = tmp_path / "results" / "x"
    entries = add(home, tmp_path / "data")
    files.write_json(home / "latest.json", {"stages": entries})
    return ResultFolder.read(home)
