"""Views that fit an input -> the numbers that a network takes, and where each view lies in them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from dmnet_lib.core.files import InputError, nearest

MEAN_RGB, STD_RGB = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of 0..1
WORDS = {
    "centre": {"fit": "centre"}, "corner": {"fit": "corner"}, "stretch": {"fit": "stretch"},
    "RGB": {"order": "RGB"}, "BGR": {"order": "BGR"}, "imagenet": {"imagenet": True},
    "0..1": {"white": 1, "imagenet": False}, "0..255": {"white": 255, "imagenet": False},
}  # fmt: skip


@dataclass(frozen=True)
class Pixels:
    """How a network takes a view.

    fit: where in a letterbox the view lies, "centre" or "corner" (top left), else "stretch", to the
    whole input; grey: of the letterbox, 0..255; white: the value of a white pixel; imagenet: less
    ImageNet's mean, over its deviation, whatever white is.
    """

    fit: str = "centre"
    order: str = "RGB"
    white: int = 1
    imagenet: bool = False
    grey: int = 114

    def __str__(self) -> str:
        fits = {"centre": "in the middle of a letterbox", "corner": "top left in a letterbox"}
        fit = f"{fits[self.fit]} of {self.grey}" if self.fit in fits else "stretched to the input"
        normal = f"0..1, less mean {MEAN_RGB}, over {STD_RGB} (R, G, B)"
        return f"{fit}; {self.order}; {normal if self.imagenet else f'0..{self.white}'}"

    def changed(self, words: Sequence[str]) -> "Pixels":
        """Return the same but for what WORDS say. Raises InputError for another word."""
        for word in words:
            if word not in WORDS:
                hint = nearest(word, WORDS)
                raise InputError(f"{word!r}: no word on pixels{hint}; there are {', '.join(WORDS)}")
        return replace(self, **{k: v for word in words for k, v in WORDS[word].items()})

    def placed(
        self, views: Sequence[np.ndarray], size_wh: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return inputs [B, h, w, 3] uint8 RGB that hold the views, which fit in.

        Also the pixel [B, 2] (x, y) where each begins, and its scale_xy [B, 2] there.
        """
        views_wh = np.array([view.shape[1::-1] for view in views])
        if self.fit == "stretch":
            images = [Image.fromarray(np.ascontiguousarray(view)) for view in views]
            inputs = [image.resize(size_wh, Image.Resampling.BILINEAR) for image in images]
            return np.stack(inputs), np.zeros_like(views_wh), size_wh / views_wh
        corners_xy = np.zeros_like(views_wh)
        if self.fit == "centre":
            corners_xy = (size_wh - views_wh) // 2
        inputs = np.full((len(views), size_wh[1], size_wh[0], 3), self.grey, np.uint8)
        for letterbox, view, (x, y) in zip(inputs, views, corners_xy, strict=True):
            letterbox[y : y + view.shape[0], x : x + view.shape[1]] = view
        return inputs, corners_xy, np.ones(views_wh.shape)

    def planes(self, inputs: np.ndarray, dtype: type[np.floating]) -> np.ndarray:
        """Return the numbers [B, 3, h, w] for inputs [B, h, w, 3] uint8 RGB."""
        step = -1 if self.order == "BGR" else 1
        planes = np.ascontiguousarray(inputs[..., ::step].transpose(0, 3, 1, 2)).astype(dtype)
        if not self.imagenet:
            return planes * dtype(self.white / 255)
        mean, std = (np.array(v, dtype)[::step, None, None] for v in (MEAN_RGB, STD_RGB))
        return (planes * dtype(1 / 255) - mean) / std
