"""Wheel, drags and clicks on an explorer's picture -> the part that is seen, and the box meant.

`static/explorer.js` writes them into a text field of the explorer, each as JSON: time, kind, place
and amount. Places are shares (0..1) of the picture's sides from its left upper corner.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dmnet_lib.reporting.drawing import LONG_PX
from dmnet_lib.reporting.figures import Boxes

LOW_PX = 480  # of the picture's shorter side, where a part has so many
MOST_SCALE, STEP = 16.0, 1.5  # the largest scale, and what a button changes it by
TURN = 400.0  # of a wheel, for twice the scale; a notch is some 100
SLACK_PX = 4.0  # of the picture, by which a click may miss a box
Place = tuple[float, float]


@dataclass(frozen=True)
class Event:
    """What the pointer did, and where; amount: the wheel's turn, or the way of a drag."""

    kind: str
    place: Place
    amount: Place = (0.0, 0.0)

    @classmethod
    def of_text(cls, text: str) -> "Event":
        """Return the event that the page wrote."""
        _, kind, x, y, across, down = json.loads(text)
        return cls(kind, (float(x), float(y)), (float(across), float(down)))


@dataclass(frozen=True)
class Frame:
    """The part of an image of size_wh that is seen: its scale, and its left upper corner, px.

    room_px: the width that the page has for the picture.
    """

    size_wh: tuple[int, int]
    scale: float
    corner_xy: Place = (0.0, 0.0)
    room_px: int = LONG_PX

    @classmethod
    def whole(cls, size_wh: Sequence[int], room_px: int = LONG_PX) -> "Frame":
        """Return all of an image, made small to fit the picture."""
        width, height = map(int, size_wh)
        scale = min(1.0, LONG_PX / max(width, height), room_px / width)
        return cls((width, height), scale, room_px=room_px)

    @property
    def all_of_it(self) -> "Frame":
        """The frame of all of the image."""
        return Frame.whole(self.size_wh, self.room_px)

    @property
    def is_whole(self) -> bool:
        """Whether all of the image is seen."""
        return self == self.all_of_it

    @property
    def picture_wh(self) -> tuple[int, int]:
        """The size of the picture; a zoom never makes it smaller, so that places stay."""
        least = np.array(self.size_wh) * self.all_of_it.scale
        most = [min(LOW_PX, self.room_px), LOW_PX]
        wanted = np.minimum(np.array(self.size_wh) * self.scale, most)
        width, height = np.maximum(1, np.maximum(least, wanted).round()).astype(int).tolist()
        return width, height

    def at(self, place: Place) -> np.ndarray:
        """Return the point (x, y) of the image at a place."""
        return np.array(self.corner_xy) + np.array(place) * self.picture_wh / self.scale

    def zoomed(self, scale: float, place: Place = (0.5, 0.5)) -> "Frame":
        """Return the frame at another scale, in which the point at a place stays where it is."""
        whole = self.all_of_it
        scale = min(scale, max(MOST_SCALE, whole.scale))
        if scale <= whole.scale:
            return whole
        corner = self.at(place) - np.array(place) * self.picture_wh / scale
        return replace(self, scale=scale)._from(corner)

    def dragged(self, way: Place) -> "Frame":
        """Return the frame after a drag, whose way is in shares of the picture."""
        return self._from(self.at((-way[0], -way[1])))

    def _from(self, corner: np.ndarray) -> "Frame":
        most = np.maximum(0, np.array(self.size_wh) - np.array(self.picture_wh) / self.scale)
        x, y = np.clip(corner, 0, most).tolist()
        return replace(self, corner_xy=(x, y))


def hit(layers: Sequence[Boxes], frame: Frame, place: Place) -> np.ndarray | None:
    """Return the box [4] that a click means: the smallest there; of tiny ones the nearest."""
    xyxy = np.concatenate([np.zeros((0, 4)), *(layer.boxes_xyxy for layer in layers)])
    off = np.abs(frame.at(place) - (xyxy[:, :2] + xyxy[:, 2:]) / 2)
    reach = np.maximum((xyxy[:, 2:] - xyxy[:, :2]) / 2, SLACK_PX / frame.scale)
    near = np.flatnonzero((off <= reach).all(axis=1))
    best = near[np.lexsort([off[near].max(axis=1), reach[near].prod(axis=1)])]
    return xyxy[best[0]] if len(best) else None


def rows_of(boxes_xyxy: np.ndarray, one_xyxy: np.ndarray) -> np.ndarray:
    """Return the rows of boxes [N, 4] that are the one [4]."""
    return np.flatnonzero((boxes_xyxy == one_xyxy).all(axis=1))
