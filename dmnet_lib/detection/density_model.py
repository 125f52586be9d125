"""A finished run's MCNN -> density maps of pictures, and the crops of the run's threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from dmnet_lib.core import weights
from dmnet_lib.core.result_folder import CROPS, MCNN, ResultFolder
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import threshold as cropping
from dmnet_lib.cropping.threshold import Policy
from dmnet_lib.density import mcnn, windows

WEIGHTS = "mcnn.safetensors"


@dataclass(frozen=True)
class DensityModel:
    """A run's MCNN, the size of its input over the image's, and the rule that crops its maps."""

    mcnn: nn.Module
    input_scale: float
    policy: Policy
    threshold: float

    @classmethod
    def of_run(cls, results: ResultFolder, bins: int, device: str) -> "DensityModel":
        """Return the model of a finished run for so many bins of sizes. Raises InputError."""
        model = weights.read(results.folders[MCNN] / WEIGHTS, mcnn.MCNN(bins))
        policy = Policy.of_parameters(results.params(CROPS))
        scale = results.params(MCNN)["input_scale"]
        threshold = results.metrics(CROPS)["threshold"]["mcnn"]
        return cls(weights.placed(model, device), scale, policy, threshold)

    @property
    def cell_px(self) -> float:
        """The side of a density map's cell in pixels of the image."""
        return mcnn.STRIDE / self.input_scale

    def maps(self, pixels: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the [K, h, w] maps of each image [H, W, 3] uint8 RGB."""
        return [mcnn.predict(self.mcnn, one, input_scale=self.input_scale) for one in pixels]

    def crops(self, maps: Sequence[np.ndarray], sizes_wh: np.ndarray) -> Regions:
        """Return the crops of the threshold for maps [K, h, w] of images of sizes_wh [M, 2]."""
        window_wh = self.policy.window_wh
        sums = windows.sums_from_maps(maps, sizes_wh, window_wh, stride=self.cell_px)
        return cropping.split_regions(sums, sizes_wh, threshold=self.threshold, policy=self.policy)
