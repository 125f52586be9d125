"""How large a detector sees a view, and what the view costs."""

from pathlib import Path

import numpy as np
import pytest

from dmnet_lib.core import files
from dmnet_lib.core.files import InputError
from dmnet_lib.cropping import input_scale
from dmnet_lib.cropping.input_scale import InputScale

SIDES_WH = np.array([[200, 100], [200, 800], [20, 10]])


def test_no_view_is_no_pixels() -> None:
    scale = InputScale(300, 2.0)
    assert scale.scales(np.zeros((0, 2))).shape == (0,)
    assert scale.pixels(np.zeros((0, 2))).sum() == 0


def test_the_longer_side_fits_the_input_and_enlargement_has_a_limit() -> None:
    scale = InputScale(300, 2.0)
    np.testing.assert_allclose(scale.scales(SIDES_WH), [1.5, 0.375, 2])
    np.testing.assert_allclose(scale.whole_image_scales(SIDES_WH), [1, 0.375, 1])
    assert scale.scales(SIDES_WH[0]) == 1.5
    np.testing.assert_allclose(scale.pixels(SIDES_WH), [300 * 150, 75 * 300, 40 * 20])


def test_a_view_fits_inside_the_one_size_of_a_network_and_costs_all_of_it() -> None:
    scale = InputScale(300, 2.0, (300, 160))
    np.testing.assert_allclose(scale.scales(SIDES_WH), [1.5, 0.2, 2])
    np.testing.assert_allclose(scale.whole_image_scales(SIDES_WH), [1, 0.2, 1])
    assert scale.pixels(SIDES_WH).sum() == 3 * 300 * 160


@pytest.mark.parametrize("values", [(0, 2.0), (300, 0.0), (300, np.inf), (300, 2.0, (0, 9))])
def test_a_side_of_nothing_is_refused(values: tuple) -> None:
    with pytest.raises(InputError, match="must be above 0"):
        InputScale(*values)


def test_an_input_scale_comes_back_and_knows_a_fixed_input(tmp_path: Path) -> None:
    path = input_scale.write(tmp_path / input_scale.FILE, InputScale(160, 2.0), (1.0, 1.0))
    assert input_scale.read(path) == (InputScale(160, 2.0), (1.0, 1.0))
    fixed, _ = input_scale.read(path, input_wh=(160, 160))
    assert fixed.input_wh == (160, 160)
    for input_wh, told in {
        (192, 128): "192 x 128 px: set 03_density_crops.crop_aspect to 3:2",
        (96, 96): "96 x 96 px: set 03_density_crops.input_long_px to at most 96",
        (96, 64): "input_long_px to at most 96 and 03_density_crops.crop_aspect to 3:2",
    }.items():
        with pytest.raises(InputError, match=f"scale.json: the detector takes .*{told}$"):
            input_scale.read(path, input_wh=input_wh)
    files.write_json(path, {"input_long_px": 3})
    with pytest.raises(InputError, match="no max_upscale in it"):
        input_scale.read(path)
