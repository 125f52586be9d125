"""What a GPU is estimated to need: layers cost what a step does, and the page has the table."""

import gpu
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dmnet_lib.training import detection


def test_a_detectors_layers_cost_what_its_training_step_does() -> None:
    """With as many proposals, on real tensors; and nothing else is kept than its layers keep."""
    model = gpu.papers_detector(11).train()
    model.rpn._post_nms_top_n = {"training": 16, "testing": 16}
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    model.transform.min_size, model.transform.max_size = (64,), 64
    with FlopCounterMode(display=False) as counter:
        detection.loss(model, ([torch.rand(3, 64, 64)], [none])).backward()
    found = gpu.step(gpu.layers_of(model, 16), model, torch.zeros(1, 3, 64, 64))
    assert found.operations == pytest.approx(counter.get_total_flops(), rel=1e-3)
    assert found.kept > 64 * 64 * 3


def test_the_page_has_the_table() -> None:
    assert f"<!-- gpu -->\n{gpu.table()}<!-- end -->" in gpu.PAGE.read_text(encoding="utf-8")
