"""One small data set in the layouts of every kind: two images, three boxes, two classes."""

from pathlib import Path

from PIL import Image

from dmnet_lib.core import files

CLASSES = ("boat", "buoy")
SIZES = {"a": (40, 30), "b": (32, 24)}
BOXES = {"a": [("boat", (3, 4, 10, 20)), ("buoy", (1, 2, 4, 5))], "b": [("boat", (0, 0, 8, 6))]}
# Kind, where its texts or its json are, and where its images are.
LAYOUTS = [
    ("coco", "annotations/instances_val.json", "val"),
    ("coco", "annotations/instances_val.json", "images/val"),
    ("coco", "annotations/instances_val2017.json", "val2017"),
    ("coco", "annotations/val.json", "images"),
    ("coco", "val/_annotations.coco.json", "val"),  # roboflow's
    ("coco", "val.json", "."),
    ("yolo", "labels/val", "images/val"),  # ultralytics'
    ("yolo", "val/labels", "val/images"),  # roboflow's
    ("yolo", "val", "val"),
    ("voc", "val", "val"),
    ("voc", "val/Annotations", "val/images"),
    ("voc", "Annotations", "JPEGImages"),
    ("voc", "VOCdevkit/VOC2012/Annotations", "VOCdevkit/VOC2012/JPEGImages"),
    ("dota", "val/labelTxt", "val/images"),
    ("dota", "labelTxt/val", "images/val"),
]


def pictures(folder: Path, suffix: str = ".jpg", stems: tuple[str, ...] = ("a", "b")) -> None:
    """Images of SIZES, by the last letter of their stems."""
    for stem in stems:
        path = folder / f"{stem}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZES[stem[-1]]).save(path)


def coco_value(**changes: object) -> dict:
    """COCO with ids from 0 and no more than must be; changes go to the first annotation."""
    images = [
        {"id": n, "file_name": f"{stem}.jpg", "width": w, "height": h}
        for n, (stem, (w, h)) in enumerate(SIZES.items())
    ]
    rows = [
        {"image_id": n, "category_id": CLASSES.index(name), "bbox": [*box]}
        for n, stem in enumerate(SIZES)
        for name, box in BOXES[stem]
    ]
    rows[0] |= changes
    categories = [{"id": n, "name": name} for n, name in enumerate(CLASSES)]
    return {"images": images, "annotations": rows, "categories": categories}


def write_coco(place: Path) -> None:
    files.write_json(place, coco_value())


def write_yolo(place: Path) -> None:
    for stem, (w, h) in SIZES.items():
        rows = [
            (CLASSES.index(name), (x + bw / 2) / w, (y + bh / 2) / h, bw / w, bh / h)
            for name, (x, y, bw, bh) in BOXES[stem]
        ]
        lines = (" ".join(f"{value:.6g}" for value in row) for row in rows)
        files.write_text(place / f"{stem}.txt", "\n".join(lines))


def xml(stem: str, boxes: list[tuple]) -> str:
    w, h = SIZES[stem]
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>"
        f"<xmax>{x + bw}</xmax><ymax>{y + bh}</ymax></bndbox></object>"
        for name, (x, y, bw, bh) in boxes
    )
    size = f"<size><width>{w}</width><height>{h}</height></size>"
    return f"<annotation><filename>{stem}.jpg</filename>{size}{objects}</annotation>"


def write_voc(place: Path) -> None:
    for stem, boxes in BOXES.items():
        files.write_text(place / f"{stem}.xml", xml(stem, boxes))
    if place.name == "Annotations":
        files.write_text(place.parent / "ImageSets" / "Main" / "val.txt", "a\nb  1\n")


def write_dota(place: Path) -> None:
    for stem, boxes in BOXES.items():
        lines = ["imagesource:GoogleEarth", "gsd:0.146"]
        for name, (x, y, w, h) in boxes:  # a diamond: its corners touch the sides
            corners = f"{x + w / 2} {y} {x + w} {y + h / 2} {x + w / 2} {y + h} {x} {y + h / 2}"
            lines.append(f"{corners} {name} 0")
        files.write_text(place / f"{stem}.txt", "\n".join(lines))


WRITE = {"coco": write_coco, "yolo": write_yolo, "voc": write_voc, "dota": write_dota}


def write(root: Path, kind: str, place: str, images: str) -> Path:
    """Write a data set of a kind; its texts or its json go to place, its images to a folder."""
    WRITE[kind](root / place)
    pictures(root / images)
    if kind == "yolo":
        files.write_text(root / "data.yaml", "names: [boat, buoy]\n")
    return root
