"""What is found in one image after the other -> a COCO file; a call that was stopped goes on.

Every image is a line of a file of lines, written at once. When all are done, and also when the call
is stopped, the COCO file is made of them; only the images' names stay in memory.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from dmnet_lib.core import files
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.tables import Detections
from dmnet_lib.data.formats import coco
from dmnet_lib.data.formats.coco import Entry

LINES = ".lines"  # ends the name of the file of lines, beside the COCO file
LINES_ARE = "lines of `dmnet predict`; remove it to begin anew"


class _Line(msgspec.Struct):
    """One image: its entry in the COCO file, and the columns of its detections."""

    image: Entry
    boxes_xyxy: list[list[float]]
    scores: list[float]
    class_ids: list[int]


@dataclass
class Journal:
    """The COCO file `path` of a call that `info` describes; boxes of the images that are done."""

    path: Path
    classes: Classes
    info: Mapping[str, object]
    done: dict[str, int] = field(default_factory=dict)  # by file_name

    @classmethod
    def begin(
        cls, path: Path, classes: Classes, info: Mapping[str, object], others: Sequence[Path] = ()
    ) -> "Journal":
        """Return the journal of a call, which knows what an earlier one like it has done.

        others are what else calls leave there. Raises InputError where it is of another call.
        """
        found = cls(path, classes, json.loads(json.dumps(info)))
        if found._lines.is_file():
            found._go_on()
        else:
            files.refuse_others(path, {"info": found.info}, *others)
        return found

    @property
    def _lines(self) -> Path:
        return self.path.with_name(self.path.name + LINES)

    def _go_on(self) -> None:
        """Take what an earlier call has done, and cut off a line that it could not finish."""
        with self._lines.open("rb+") as stream:
            with files.reading(self._lines, LINES_ARE, (ValueError,)):
                before = json.loads(stream.readline())
            if before != self.info:
                raise files.other_output(self.path.parent)
            whole = stream.tell()
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                with files.reading(self._lines, LINES_ARE, (msgspec.MsgspecError,)):
                    one = msgspec.json.decode(line, type=_Line)
                self.done[str(one.image["file_name"])] = len(one.scores)
                whole += len(line)
            stream.truncate(whole)

    def add(self, image: Entry, found: Detections) -> None:
        """Write what is found in an image, once; its entry needs no id."""
        if image["file_name"] in self.done:
            return
        columns = (found.boxes_xyxy.tolist(), found.scores.tolist(), found.class_ids.tolist())
        line = msgspec.json.encode(_Line(image, *columns)) + b"\n"
        if not self._lines.is_file():
            files.write_json(self._lines, self.info, indent=None)
        with self._lines.open("ab") as stream:
            stream.write(line)
        self.done[str(image["file_name"])] = len(found)

    def finish(self, *, is_whole: bool) -> None:
        """Write the COCO file of all that is done; whole, nothing is left to go on with."""
        if self.done:
            files.write_text(
                self.path, coco.detections_text(self._found(), self.classes, info=self.info)
            )
        if is_whole:
            self._lines.unlink(missing_ok=True)

    def _found(self) -> Iterator[tuple[Entry, Detections]]:
        with self._lines.open("rb") as stream:
            stream.readline()
            for number, line in enumerate(stream, start=1):
                one = msgspec.json.decode(line, type=_Line)
                columns = np.array(one.scores), np.array(one.class_ids, np.int64)
                boxes_xyxy = np.array(one.boxes_xyxy, np.float64).reshape(-1, 4)
                rows = np.zeros(len(one.scores), np.int64)
                yield {"id": number, **one.image}, Detections(("",), boxes_xyxy, *columns, rows)
