"""The released preparation done plainly on files, one image after the other, by one process.

    python benchmarks/reference_files.py ROOT SPLIT OUT             maps, crops, VOC, COCO of images
    python benchmarks/reference_files.py ROOT SPLIT OUT SIZES.json  VOC and COCO, no images

What the four official programs do by the steps of `reference`, each reading what the one before
it wrote:

1. maps: draw every image's map at full size, save it as float32 npy;
2. crops: load the map, decode the whole JPEG with Pillow once, search the mask pixel by pixel,
   encode each crop and write it with its annotation lines;
3. VOC: decode every crop again and write it again as JPEG, beside an xml file made tag by tag;
4. COCO: parse every xml file, list images and boxes, write one json.

It writes no previews and no kernel tables, asks nothing twice, and starts once where the released
programs start four times: it is the faster for it, and the comparison the fairer.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import reference
from PIL import Image

WINDOW_WH, THRESHOLD, QUALITY = (70, 70), 0.08, 95
TAGS = ("x0", "y0", "x1", "y1")


def rows_of(path: Path, *, split: str) -> list[reference.Row]:
    """Return the objects of an annotation file, as density and crops read it."""
    return reference.objects(_lines(path), drop_score0=split == "val")


def _lines(path: Path) -> list[reference.Row]:
    lines = path.read_text().splitlines()
    return [tuple(int(v) for v in line.split(",") if v.strip()) for line in lines]


def maps(folder: Path, split: str, out: Path) -> None:
    """Write every image's map."""
    out.mkdir()
    for path in sorted((folder / "images").iterdir()):
        rows = rows_of(folder / "annotations" / f"{path.stem}.txt", split=split)
        with Image.open(path) as image:
            np.save(out / f"{path.stem}.npy", reference.density_map(rows, image.size))


def crops(folder: Path, split: str, density: Path, out: Path) -> None:
    """Write every crop's JPEG and annotation lines."""
    for part in ("images", "annotations"):
        (out / part).mkdir(parents=True)
    for path in sorted((folder / "images").iterdir()):
        rows = rows_of(folder / "annotations" / f"{path.stem}.txt", split=split)
        pixels = np.asarray(Image.open(path).convert("RGB"))
        dense = reference.mask(np.load(density / f"{path.stem}.npy"), WINDOW_WH, THRESHOLD)
        for x1, y1, x2, y2 in reference.regions(dense):
            name = f"{y1}_{x1}_{y2}_{x2}_{path.stem}"
            crop = Image.fromarray(pixels[y1:y2, x1:x2])
            crop.save(out / "images" / f"{name}.jpg", quality=QUALITY)
            kept = reference.rows_in_crop(rows, (x1, y1, x2, y2))
            lines = "".join(",".join(map(str, row)) + "\n" for row in kept)
            (out / "annotations" / f"{name}.txt").write_text(lines)


def voc(folder: Path, split: str, out: Path) -> None:
    """Write an image again and an xml file for everything that has a box."""
    for part in ("JPEGImages", "Annotations"):
        (out / part).mkdir(parents=True)
    for path in sorted((folder / "images").iterdir()):
        with Image.open(path) as image:
            pixels = image.convert("RGB")
        text = folder / "annotations" / f"{path.stem}.txt"
        if xml(text, pixels.size, out / "Annotations", split=split):
            pixels.save(out / "JPEGImages" / path.name, quality=QUALITY)


def xml(text: Path, size_wh: tuple[int, int], out: Path, *, split: str) -> bool:
    """Write an annotation file as xml, tag by tag; tell whether it holds a box."""
    kept = reference.objects(_lines(text), drop_score0=split != "train")
    boxes = reference.coco_boxes(kept, size_wh)
    if not boxes:
        return False
    root = ElementTree.Element("annotation")
    _tag(root, "filename", f"{text.stem}.jpg")
    size = ElementTree.SubElement(root, "size")
    for name, value in zip(("width", "height", "depth"), (*size_wh, 0), strict=True):
        _tag(size, name, value)
    for x, y, w, h, category in boxes:
        one = ElementTree.SubElement(root, "object")
        for name, value in (("name", category), ("truncated", 1), ("difficult", 0)):
            _tag(one, name, value)
        corners = ElementTree.SubElement(one, "bndbox")
        for name, value in zip(TAGS, (x, y, x + w, y + h), strict=True):
            _tag(corners, name, value)
    ElementTree.ElementTree(root).write(out / f"{text.stem}.xml")
    return True


def _tag(parent: ElementTree.Element, name: str, value: object) -> None:
    ElementTree.SubElement(parent, name).text = str(value)


def coco(folder: Path, out: Path) -> None:
    """Write one json of a folder of xml files."""
    images, boxes = [], []
    for path in sorted(folder.iterdir()):
        root, number = ElementTree.parse(path).getroot(), len(images)
        width, height = (int(root.find(f"size/{name}").text) for name in ("width", "height"))
        images.append({"id": number, "file_name": root.find("filename").text,
                       "width": width, "height": height})  # fmt: skip
        for one in root.iter("object"):
            x0, y0, x1, y1 = (int(one.find(f"bndbox/{tag}").text) for tag in TAGS)
            boxes.append({
                "id": len(boxes) + 1, "image_id": number, "category_id": int(one.find("name").text),
                "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0,
            })  # fmt: skip
    categories = [{"id": number, "name": str(number)} for number in range(1, 11)]
    whole = {"images": images, "annotations": boxes, "categories": categories}
    out.write_text(json.dumps(whole))


def prepare(folder: Path, split: str, out: Path) -> dict[str, float]:
    """Prepare a split with its images; return the seconds of each step."""
    return _timed({
        "maps": lambda: maps(folder, split, out / "maps"),
        "crops": lambda: crops(folder, split, out / "maps", out / "crops"),
        "voc": lambda: voc(out / "crops", split, out / "voc"),
        "coco": lambda: coco(out / "voc" / "Annotations", out / "coco.json"),
    })  # fmt: skip


def convert(folder: Path, split: str, out: Path, sizes_wh: dict) -> dict[str, float]:
    """Convert a split's annotations alone; return the seconds of each step."""

    def as_xml() -> None:
        (out / "voc").mkdir()
        for path in sorted((folder / "annotations").iterdir()):
            xml(path, tuple(sizes_wh[path.stem]), out / "voc", split=split)

    return _timed({"voc": as_xml, "coco": lambda: coco(out / "voc", out / "coco.json")})


def _timed(steps: dict[str, Callable[[], None]]) -> dict[str, float]:
    taken = {}
    for name, step in steps.items():
        start = time.perf_counter()
        step()
        taken[name] = round(time.perf_counter() - start, 4)
    return taken


def main(root: str, split: str, out: str, sizes: str | None = None) -> None:
    """Run one of the two; print the seconds of its steps as json."""
    folder, home = Path(root) / f"VisDrone2019-DET-{split}", Path(out)
    home.mkdir(parents=True)
    if sizes:
        print(json.dumps(convert(folder, split, home, json.loads(Path(sizes).read_text()))))
    else:
        print(json.dumps(prepare(folder, split, home)))


if __name__ == "__main__":
    main(*sys.argv[1:])
