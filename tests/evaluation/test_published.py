"""Published figures: every one with its split, protocol and source."""

import pytest

from dmnet_lib.evaluation import published

FIGURES = ["AP", "AP50", "AP75", "APs", "APm", "APl"]


def test_dmnets_own_figures_are_there() -> None:
    found = published.table().set_index(["method", "backbone"]).loc[("DMNet", "R50")]
    assert found[FIGURES].tolist() == [28.2, 47.6, 28.9, 19.9, 39.6, 55.8]
    assert published.table("UAVDT").set_index("method").loc["DMNet", "AP"] == 14.7


@pytest.mark.parametrize("dataset", ["VisDrone", "UAVDT"])
def test_every_figure_is_a_percentage_and_says_how_it_was_made(dataset: str) -> None:
    found = published.table(dataset)
    assert found[["split", "protocol", "source"]].map(bool).all(axis=None)
    assert found[FIGURES].stack().dropna().between(1, 100).all()
    assert found["AP"].notna().all()


def test_a_dataset_without_figures_is_named() -> None:
    with pytest.raises(ValueError, match="no figures of 'COCO', only of VisDrone, UAVDT"):
        published.table("COCO")
