"""Weights: what is written is what is read, for the same model only."""

import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from dmnet_lib.core import weights
from dmnet_lib.core.files import InputError


def network(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))


def test_weights_come_back_bit_for_bit_ready_to_predict(tmp_path: Path):
    model = network()
    model(torch.rand(2, 3, 4, 4))  # moves the running statistics and their integer count
    again = weights.read(weights.write(tmp_path / "w.safetensors", model), network())
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
        assert value.dtype == again.state_dict()[name].dtype
    assert not again.training


def test_the_weights_of_another_model_are_refused_in_one_line(tmp_path: Path):
    path = weights.write(tmp_path / "w.safetensors", network(3))
    for other in (network(5), nn.Linear(2, 2)):
        with pytest.raises(InputError, match=r"w\.safetensors: not this model's weights") as caught:
            weights.read(path, other)
        assert "\n" not in str(caught.value)


def test_a_missing_torn_or_empty_file_is_named(tmp_path: Path):
    path = weights.write(tmp_path / "w.safetensors", network())
    for data in (path.read_bytes()[:-8], path.read_bytes()[:20], b""):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"w\.safetensors: not this model's weights"):
            weights.read(path, network())
    with pytest.raises(InputError, match="none: no such weights"):
        weights.read(tmp_path / "none", network())


def test_a_seed_decides_the_weights_and_leaves_torchs_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a, b, c = (weights.seeded(network, seed)[0].weight for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_a_gpu_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"model of {device}")
    assert weights.device_name("cuda") == weights.device_name("auto") == "model of cuda"
    assert weights.device_name("cpu") == "cpu"


def test_a_cpu_computes_two_at_a_time_with_half_of_the_threads_each() -> None:
    both, before = threading.Barrier(2, timeout=20), torch.get_num_threads()
    torch.set_num_threads(4)
    try:

        def threads(number: int) -> tuple[int, int]:
            both.wait()  # one alone would wait for ever
            return number, torch.get_num_threads()

        cpu = torch.device("cpu")
        assert weights.side_by_side(threads, range(4), cpu) == [(n, 2) for n in range(4)]
        assert torch.get_num_threads() == 4
        with pytest.raises(ZeroDivisionError):
            weights.side_by_side(lambda n: 1 // n, range(2), cpu)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("device", "items"), [("cpu", 1), ("meta", 3)])
def test_one_item_and_other_devices_have_all_threads(device: str, items: int) -> None:
    here = threading.get_ident()
    found = weights.side_by_side(
        lambda _: threading.get_ident(), range(items), torch.device(device)
    )
    assert found == [here] * items


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, number: float) -> None:
    model = network()
    model[0].weight.data[1, 0] = number
    path = weights.write(tmp_path / "w.safetensors", model)
    with pytest.raises(InputError, match=r"w\.safetensors: holds NaN or infinity"):
        weights.read(path, network())


def test_weights_of_another_type_are_refused(tmp_path: Path) -> None:
    path = weights.write(tmp_path / "w.safetensors", network().to(torch.complex64))
    with pytest.raises(InputError, match="numbers of other types than this model's"):
        weights.read(path, network())
