"""What is found in one image after the other -> a COCO file; a call that was stopped goes on.

Every image is a line of a file of lines, written at once. When all are done, and also when the call
is stopped, the COCO file is made of them; only the images' names stay in memory.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.made import Made, stamp
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.formats import coco
from dmnet_lib.data.formats.coco import Entry

LINES = ".lines"  # ends the name of the file of lines, beside the COCO file
LINES_ARE = "lines of `dmnet predict`; remove it to begin anew"


class _Line(msgspec.Struct):
    """One image: its entry in the COCO file, the columns of its detections, the stamp of what it
    was read from, and the names of the files that show what was found."""

    image: Entry
    boxes_xyxy: list[tuple[coco.Place, coco.Place, coco.Place, coco.Place]]
    scores: list[Annotated[float, msgspec.Meta(ge=0, le=1)]]
    class_ids: list[Annotated[int, msgspec.Meta(ge=1)]]
    of: str = ""
    shown: list[str] = []


@dataclass
class Journal:
    """The COCO file `path` of a call that `info` describes; boxes of the images that are done."""

    path: Path
    classes: Classes
    info: Mapping[str, object]
    made: Made
    done: dict[str, int] = field(default_factory=dict)  # by file_name
    is_started: bool = False

    @classmethod
    def begin(
        cls, path: Path, classes: Classes, info: Mapping[str, object], made: Made
    ) -> "Journal":
        """Return the journal of a call, which knows what an earlier one like it has done.

        made tells which files are whole. Raises InputError for lines that nothing can be made of.
        """
        found = cls(path, classes, json.loads(json.dumps(info)), made)
        if found._lines.is_file():
            found._go_on()
        return found

    def start(self) -> None:
        """Remove what other calls left, before the first file is written."""
        if not self.is_started:
            self.made.begin(self.made.files if self.done else ())
        self.is_started = True

    def shown(self, *names: str) -> None:
        """Enter files that show what was found in several images."""
        if self.is_started:
            self.made.add(*names)

    @property
    def _lines(self) -> Path:
        return self.path.with_name(self.path.name + LINES)

    def _go_on(self) -> None:
        """Take what an earlier call like this has done, but what is corrupted or of other files."""
        with self._lines.open("rb") as stream:
            with files.reading(self._lines, LINES_ARE, (ValueError,)):
                head = stream.readline()
                if json.loads(head) != self.info:
                    self._lines.unlink()
                    return
            with files.whole(self._lines) as whole:
                whole.write(head)
                whole.writelines(line for line in stream if self._stands(line))

    def _stands(self, line: bytes) -> bool:
        """Tell whether a line and what it tells of are whole, and then take it as done."""
        if not line.endswith(b"\n"):
            return False
        with files.reading(self._lines, LINES_ARE, (msgspec.MsgspecError, ValueError)):
            one = msgspec.json.decode(line, type=_Line)
            _detections(one)
        stands = one.of == stamp(str(one.image.get("source", "")))
        stands = stands and all(self.made.stands(name, one.of) for name in one.shown)
        if stands:
            self.done[one.image["file_name"]] = len(one.scores)
        return stands

    def add(self, image: Entry, found: Detections, of: str = "", shown: Sequence[str] = ()) -> None:
        """Write what is found in an image, once; its entry needs no id, and has its source.

        of is the stamp of that, and shown are the names of the files that show what was found.
        """
        if image["file_name"] in self.done:
            return
        self.start()
        self.made.add(*shown, of=of)
        columns = (found.boxes_xyxy.tolist(), found.scores.tolist(), found.class_ids.tolist())
        line = msgspec.json.encode(_Line(image, *columns, of, list(shown))) + b"\n"
        if not self._lines.is_file():
            files.write_json(self._lines, self.info, indent=None)
        with self._lines.open("ab") as stream:
            stream.write(line)
        self.done[str(image["file_name"])] = len(found)

    def finish(self, *, is_whole: bool) -> None:
        """Write the COCO file of all that is done; whole, nothing is left to go on with."""
        if self.done:
            self.start()
            files.write_text(
                self.path, coco.detections_text(self._found(), self.classes, info=self.info)
            )
            self.made.add(self.path.name)
        if is_whole:
            self._lines.unlink(missing_ok=True)

    def _found(self) -> Iterator[tuple[Entry, Detections]]:
        with self._lines.open("rb") as stream:
            stream.readline()
            for number, line in enumerate(stream, start=1):
                one = msgspec.json.decode(line, type=_Line)
                yield {"id": number, **one.image}, _detections(one)


def _detections(one: _Line) -> Detections:
    """Return the detections of a line. Raises ValueError where its columns do not go together."""
    columns = np.array(one.scores), np.array(one.class_ids, np.int64)
    boxes_xyxy = np.array(one.boxes_xyxy, np.float64).reshape(-1, 4)
    if not isinstance(one.image.get("file_name"), str):
        raise ValueError("no file_name")
    return Detections(("",), boxes_xyxy, *columns, np.zeros(len(one.scores), np.int64))
