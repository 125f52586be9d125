"""Crop names: what is written comes back, and nothing else is taken for one."""

import numpy as np
import pytest

from dmnet_lib.data.crop_names import crop_name, parse_crop_name

REGION = [40, 20, 80, 50]


@pytest.mark.parametrize("stem", ["a", "0000001_02999_d_0000005", "a__1_2_3_4", "with space.b"])
def test_names_come_back(stem: str) -> None:
    back, region = parse_crop_name(crop_name(stem, np.array(REGION)))
    assert (back, region.tolist()) == (stem, REGION)


@pytest.mark.parametrize("text", ["", "a", "a_1_2_3_4", "a__1_2_3", "a__1_2_3_x", "__1_2_3_4"])
def test_what_is_no_crop_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no crop name"):
        parse_crop_name(text)


def test_released_names_come_back_too():
    stem = "0000001_02999_d_0000005"
    made = crop_name(stem, np.array([489, 0, 910, 350]), crop_names="corner_first")
    assert made == f"0_489_350_910_{stem}"
    back, region = parse_crop_name(made)
    assert (back, region.tolist()) == (stem, [489, 0, 910, 350])
