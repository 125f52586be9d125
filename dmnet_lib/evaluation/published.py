"""Figures that others published, with split and protocol: what one's own are held against.

Numbers are quoted as they circulate, in percent, each with where it was read.
"""

import pandas as pd

COLUMNS = ("dataset", "split", "method", "backbone", "AP", "AP50", "AP75", "APs", "APm", "APl",
           "protocol", "source")  # fmt: skip
CIRCULATED = "COCO, cap of detections not stated"
AT_100 = "COCO, presumably at 100 (as the released code)"
TOOLKIT = "VisDrone toolkit, weighted class mean"
SURVEY = "later papers (VisDrone2018 val)"
TEASER = "later papers; akhilpm/DroneDetectron2 (teaser)"
EVORL = "README of EVORL"
SMALLDET = "PaddleDetection, configs/smalldet"
VAL, DEV, UAVDT = ("VisDrone", "val"), ("VisDrone", "test-dev"), ("UAVDT", "not stated")

FIGURES = (
    (*VAL, "Faster R-CNN", None, 21.8, 41.8, 20.1, *[None] * 3, CIRCULATED,
     "usual citation; EVORL README, RL-SAHI table"),
    (*VAL, "Faster R-CNN, 1333x800", "R50-FPN", 28.2, *[None] * 5, CIRCULATED,
     "rerun, current mmdet: hoiliu-0801/DNTR#5"),
    (*VAL, "ClusDet", "R50", 26.7, 50.6, 24.7, 17.6, 38.9, 51.4, CIRCULATED, TEASER),
    (*VAL, "ClusDet", "R101", 26.7, 50.4, 25.2, 17.2, 39.3, 54.9, CIRCULATED, SURVEY),
    (*VAL, "ClusDet", "X101", 28.4, 53.2, 26.4, 19.1, 40.8, 54.4, CIRCULATED, SURVEY),
    (*VAL, "DMNet", "R50", 28.2, 47.6, 28.9, 19.9, 39.6, 55.8, AT_100, TEASER),
    (*VAL, "DMNet", "R101", 28.5, 48.1, 29.4, 20.0, 39.7, 57.1, AT_100, SURVEY),
    (*VAL, "DMNet", "X101", 29.4, 49.3, 30.6, 21.6, 41.0, 56.9, AT_100, SURVEY),
    (*VAL, "CZ Det", "R50", 33.22, 58.30, 33.16, 26.06, 42.58, 43.36,
     "COCO by detectron2, cap not verified", "akhilpm/DroneDetectron2"),
    (*VAL, "QueryDet", "R50", 28.32, 48.14, 28.75, *[None] * 3, TOOLKIT,
     "ChenhongyiYang/QueryDet-PyTorch"),
    (*DEV, "PP-YOLOE-l", None, 23.5, 39.1, *[None] * 4, CIRCULATED, SMALLDET),
    (*DEV, "PP-YOLOE-l", None, 28.00, 46.20, *[None] * 4, TOOLKIT, SMALLDET),
    (*DEV, "PP-YOLOE+_SOD-l", None, 25.6, 43.5, *[None] * 4, CIRCULATED, SMALLDET),
    (*DEV, "PP-YOLOE+_SOD-l", None, 30.25, 51.18, *[None] * 4, TOOLKIT, SMALLDET),
    (*UAVDT, "Faster R-CNN", None, 12.1, 23.5, 10.8, *[None] * 3, CIRCULATED, EVORL),
    (*UAVDT, "ClusDet", None, 13.7, 26.5, 12.5, *[None] * 3, CIRCULATED, EVORL),
    (*UAVDT, "DMNet", None, 14.7, 24.6, 16.3, *[None] * 3, CIRCULATED, EVORL),
)  # fmt: skip


def shown(dataset: str = "VisDrone") -> pd.DataFrame:
    """Return `table` as people read it: nothing where nothing was published."""
    frame = table(dataset)
    return frame.astype(object).where(frame.notna(), "")


def table(dataset: str = "VisDrone") -> pd.DataFrame:
    """Return one row a published result, in percent; what was not published is NaN.

    Compare only where protocol and split agree. The same detections score 4 to 8 points higher by
    VisDrone's toolkit than by COCO's evaluators (see the PP-YOLOE rows: one model, both ways):
    the toolkit takes the area under every step of the curve, weights classes by the images that
    hold them and does not punish detections in ignored regions. A cap of 100 detections hides
    boxes of crowded images, and test-dev is five to six points harder than val. Raises ValueError
    for a dataset without figures.
    """
    frame = pd.DataFrame(FIGURES, columns=COLUMNS)
    found = frame[frame["dataset"] == dataset].drop(columns="dataset").reset_index(drop=True)
    if found.empty:
        raise ValueError(
            f"no figures of {dataset!r}, only of {', '.join(frame['dataset'].unique())}"
        )
    return found
