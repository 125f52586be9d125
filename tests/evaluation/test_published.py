"""Published figures: every one with its split, protocol and source."""

from dmnet_lib.evaluation import published

FIGURES = ["AP", "AP50", "AP75", "APs", "APm", "APl"]


def test_dmnets_own_figures_are_there() -> None:
    found = published.table().query("method == 'DMNet'").set_index("dataset")
    row = found.query("backbone == 'R50'").loc["VisDrone"]
    assert row[FIGURES].tolist() == [28.2, 47.6, 28.9, 19.9, 39.6, 55.8]
    assert found.loc["UAVDT", "AP"] == 14.7


def test_every_figure_is_a_percentage_and_says_how_it_was_made() -> None:
    found = published.table()
    assert found[["split", "protocol", "source"]].map(bool).all(axis=None)
    assert found[FIGURES].stack().dropna().between(1, 100).all()
    assert found["AP"].notna().all()
