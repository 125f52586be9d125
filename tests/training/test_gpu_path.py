"""What a GPU is for, on the CPU: the paper's experiment, bfloat16 with channels last, torchrun."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.models._api import WeightsEnum
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights, fasterrcnn_resnet50_fpn

from dmnet_lib.core import files, images, params, result_folder, tables, weights
from dmnet_lib.core.files import ROOT, InputError
from dmnet_lib.core.params import Experiment
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping import input_scale
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.data import datasets
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.density import mcnn, points, sizes
from dmnet_lib.detection import networks
from dmnet_lib.training import density, detection, distributed, feed, jobs

PAPERS = "fasterrcnn_resnet50_fpn"
ANY = {"score_threshold": 1e-6}  # of a network that has hardly learned
CPU = torch.device("cpu")
rng = np.random.default_rng


@pytest.fixture
def takes_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU counts as a device that networks compute on as on a new GPU."""
    monkeypatch.setattr(weights, "takes_bfloat16", lambda device: True)


@cache
def published(kind: type[WeightsEnum]) -> dict[str, torch.Tensor]:
    """Weights of the names and shapes of torchvision's, but drawn."""
    make = {ResNet50_Weights: resnet50, FasterRCNN_ResNet50_FPN_Weights: fasterrcnn_resnet50_fpn}
    empty = {"weights_backbone": None} if kind is FasterRCNN_ResNet50_FPN_Weights else {}
    return weights.seeded(lambda: make[kind](weights=None, **empty), 7).state_dict()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[type[WeightsEnum]]:
    """What torchvision was asked to fetch; nothing is."""
    asked: list[type[WeightsEnum]] = []

    def fetch(of: WeightsEnum, **_: object) -> dict[str, torch.Tensor]:
        asked.append(type(of))
        return published(type(of))

    monkeypatch.setattr(WeightsEnum, "get_state_dict", fetch)
    return asked


def view(seed: int, size_wh: tuple[int, int] = (64, 64)) -> np.ndarray:
    return rng(seed).integers(0, 256, (*size_wh[::-1], 3), np.uint8)


# the paper's experiment


@pytest.fixture
def papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """params/visdrone.yaml on four small images of the same layout, as far as stage 03."""
    for part, first in (("train", 0), ("val", 2)):
        folder = tmp_path / f"VisDrone2019-DET-{part}"
        for number in (first, first + 1):
            picture = images.encode_jpeg(view(number, (96, 72)), quality=90)
            files.write_bytes(folder / "images" / f"{number}.jpg", picture)
            files.write_text(folder / "annotations" / f"{number}.txt", "30,20,24,16,1,4,0,0\n")
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(tmp_path))
    monkeypatch.setenv(feed.JOBS, "0")
    results = ResultFolder(tmp_path / "visdrone")
    for stage in result_folder.STAGES[:4]:
        results = results.with_stage(stage, "k", {})
        files.write_text(results.folder(stage) / "params.yaml", "{}")
    results.write()
    files.write_text(results.folder(result_folder.DATASET) / "dataset.json", "{}")
    made, cropped = (results.folder(s) for s in (result_folder.DENSITY, result_folder.CROPS))
    for part in ("train", "val"):
        table = datasets.load(tmp_path, part).annotations
        tables.write(made / f"points_{part}.npz", points.from_annotations(table))
        crops = Regions.from_lists([[[10, 10, 80, 60]], []])
        tables.write(cropped / f"oracle_{part}.npz", crops)
    files.write_json(made / "sizes.json", sizes.to_lists(sizes.plain((16.0,))))
    experiment = params.load(ROOT / "params" / "visdrone.yaml")
    given = experiment.sections
    scale = InputScale(given["03_density_crops"]["input_long_px"], 1.5)
    input_scale.write(cropped / input_scale.FILE, scale, (4, 3))
    few = {"patch_px": 64, "batch_size": 2, "steps": 2, "evaluate_every": 2}
    monkeypatch.setitem(detection.measures.__kwdefaults__, "draws", 1)
    changed = {
        "common": {"data_root": str(tmp_path), "device": "cpu"},
        "02_mcnn_training": few | {"min_count_ratio": 0.0},
        "05_fused_detection": few,
    }
    sections = {name: values | changed.get(name, {}) for name, values in given.items()}
    return replace(experiment, sections=sections)


def test_the_papers_experiment_trains_saves_loads_and_runs(
    papers: Experiment, fetched: list, tmp_path: Path
) -> None:
    """Two steps of each network; the detector that is read finds what the trained one does."""
    state = torch.load(jobs.train(papers, "mcnn"), weights_only=True)
    assert state["step"] == 2
    state = torch.load(jobs.train(papers, "detector"), weights_only=True)
    assert fetched == [ResNet50_Weights]
    assert [row["step"] for row in state["rows"]] == [2]
    model = networks.build(PAPERS, VISDRONE, pretrained="backbone", **ANY).eval()
    started = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(state["best"])
    learned = {n for n, v in model.state_dict().items() if not torch.equal(v, started[n])}
    assert {name.split(".")[0] for name in learned} == {"backbone", "rpn", "roi_heads"}
    frozen = ("backbone.body.conv1", "backbone.body.layer1")
    assert not any(name.startswith(frozen) for name in learned)
    assert_written_and_read(model, tmp_path / "detector")


def assert_written_and_read(model: nn.Module, folder: Path) -> None:
    """What is read finds what was written; its layers of normalisation are of another kind."""
    written, views = networks.Torchvision(model, VISDRONE), [view(0), view(1, (96, 50))]
    assert networks.write(folder, written, steps=2, val_loss=1.0)["parameters"] > 41e6
    read = networks.read(folder, PAPERS, **ANY)
    for (_, one, _), (_, other, _) in zip(written.find(views), read.find(views), strict=True):
        assert len(one) > 20
        np.testing.assert_allclose(one[:20], other[:20], rtol=1e-3)


def test_the_papers_schedule_is_that_of_its_parameter_file() -> None:
    given = params.load(ROOT / "params" / "visdrone.yaml").sections["05_fused_detection"]
    recipe = jobs.recipe_of(given)
    epoch = recipe.steps / 42
    at = [recipe.rate(round(epoch * number)) for number in (24.9, 25.1, 34.9, 35.1, 41.9)]
    assert at == pytest.approx([5e-3, 5e-4, 5e-4, 5e-5, 5e-5])
    assert epoch * given["batch_size"] == pytest.approx(6471 + 33480, rel=1e-3)


def test_a_start_from_coco_keeps_all_but_the_classes(fetched: list, tmp_path: Path) -> None:
    model = networks.build(PAPERS, VISDRONE, pretrained="coco", **ANY).eval()
    assert fetched == [FasterRCNN_ResNet50_FPN_Weights]
    state, start = model.state_dict(), published(fetched[0])
    kept = {name for name in state if name in start and torch.equal(state[name], start[name])}
    assert {name for name in state if name not in kept} == {
        f"roi_heads.box_predictor.{layer}.{part}"
        for layer in ("cls_score", "bbox_pred")
        for part in ("weight", "bias")
    }
    assert_written_and_read(model, tmp_path)


def test_a_start_that_cannot_be_fetched_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", fail)
    for start in ("backbone", "coco"):
        with pytest.raises(InputError, match=f"pretrained: {start}: .* cannot be fetched"):
            networks.build(PAPERS, VISDRONE, pretrained=start)


def test_views_stay_at_their_scale_and_a_patch_may_have_no_box() -> None:
    model = networks.build(PAPERS, VISDRONE).train()
    assert torch.isfinite(detection.loss(model, patches()))
    sizes_hw = model.transform([torch.rand(3, 64, 64)])[0].image_sizes
    assert sizes_hw == [(64, 64)]


# bfloat16 and channels last


def patches() -> detection.Batch:
    """Two patches of 64 px, one of them without a box."""
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    one = {"boxes": torch.tensor([[8.0, 8, 40, 48]]), "labels": torch.tensor([4])}
    pixels = [networks.to_input(view(number), CPU) for number in range(2)]
    return pixels, [one, none]


def counted() -> density.Batch:
    target = torch.from_numpy(rng(1).random((2, 2, 16, 16), np.float32)) / 50
    return mcnn.to_input(np.stack([view(0), view(1)])), target


def papers_detector() -> nn.Module:
    """The paper's with few proposals: bfloat16 is slow on CPUs that are not made for it."""
    model = networks.build(PAPERS, VISDRONE)
    model.rpn._post_nms_top_n = {"training": 32, "testing": 32}
    return model


@dataclass
class Stepped:
    """A model after a step, the losses before and after, and the types of its convolutions."""

    model: nn.Module
    losses: tuple[float, float]
    types: set[torch.dtype]


def stepped(make: Callable[[], nn.Module], loss_of: Callable, batch: object) -> Stepped:
    """Return a model that was placed on the CPU and took a step on a batch."""
    model, types = weights.placed(weights.seeded(make, 0), "cpu").train(), set()
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    for layer in convolutions:
        layer.register_forward_hook(lambda *given: types.add(given[-1].dtype))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5)
    torch.manual_seed(0)  # the paper's detector draws what it learns from
    before = loss_of(model, batch)
    before.backward()
    optimiser.step()
    torch.manual_seed(0)
    with torch.no_grad():
        after = loss_of(model, batch)
    assert {layer.weight.dtype for layer in convolutions} == {torch.float32}
    return Stepped(model.eval(), (float(before.detach()), float(after)), types)


def both(monkeypatch: pytest.MonkeyPatch, *given: object) -> Iterator[Stepped]:
    """Yield what `stepped` returns in float32, then in bfloat16, with the switch set so."""
    for switch in (False, True):
        monkeypatch.setattr(weights, "takes_bfloat16", lambda device, on=switch: on)
        yield stepped(*given)


def assert_close(first: Stepped, second: Stepped) -> None:
    """In float32 and bfloat16 as they were told, from nearly the same loss to a lower one."""
    assert (first.types, torch.bfloat16 in second.types) == ({torch.float32}, True)
    assert second.losses[0] == pytest.approx(first.losses[0], rel=0.05)
    assert first.losses != second.losses
    for before, after in (first.losses, second.losses):
        assert after < before


def test_mcnn_steps_and_predicts_in_bfloat16_as_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole images and tiles."""
    monkeypatch.setattr(mcnn, "TILE_CELLS", 8)
    runs, found = [], []
    for run in both(monkeypatch, lambda: mcnn.MCNN(2), density.loss, counted()):
        runs.append(run)
        for tiled_px in (mcnn.TILED_PX, 100):
            with monkeypatch.context() as patched:
                patched.setattr(mcnn, "TILED_PX", tiled_px)
                found.append(mcnn.predict(run.model, view(5, (90, 70)), input_scale=0.8))
    assert_close(*runs)
    for other in found:
        assert other.dtype == np.float32
        np.testing.assert_allclose(other, found[0], atol=0.03 * found[0].max())
    layouts = {run.model.columns["large"][0].weight.stride()[1] for run in runs}
    assert layouts == {1}  # channels lie side by side


@pytest.mark.parametrize("make", [lambda: networks.build("fcos_small", VISDRONE), papers_detector])
def test_detectors_step_and_find_in_bfloat16_as_in_float32(
    make: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views of one size go through the network together, and are found as they are alone."""
    views, runs, found = [view(5), view(6, (96, 64)), view(7)], [], []
    for run in both(monkeypatch, make, detection.loss, patches()):
        detector = networks.Torchvision(run.model, VISDRONE)
        together, (alone,) = detector.find(views), detector.find(views[2:])
        assert len(alone[1]) > 0
        np.testing.assert_allclose(together[2][1][:20], alone[1][:20], rtol=0.02)
        found.append(np.concatenate([scores[:20] for _, scores, _ in together]))
        runs.append(run)
    assert_close(*runs)
    np.testing.assert_allclose(found[1], found[0], rtol=0.05)


@pytest.mark.filterwarnings("ignore:.*pin_memory")  # there may be no GPU to pin it for
def test_pinned_batches_are_the_same(takes_bfloat16: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for jobs_ in ("0", "1"):
        monkeypatch.setenv(feed.JOBS, jobs_)
        found.append(list(feed.batches_of(draw_target, 5, range(2), CPU)))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def draw_target(generator: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(generator.random((2, 3)))


def test_old_gpus_and_cpus_compute_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not weights.takes_bfloat16(CPU)
    for able in (False, True):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda able=able, **_: able)
        assert weights.takes_bfloat16(torch.device("cuda")) == able


# torchrun


def test_processes_on_gpus_have_one_each_and_talk_by_nccl(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    for name in distributed.STARTED:
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(torch.cuda, "set_device", told.append)
    monkeypatch.setattr(distributed.dist, "init_process_group", told.append)
    monkeypatch.setattr(distributed.dist, "destroy_process_group", lambda: told.append("end"))
    with distributed.joined(torch.device("cuda")):
        assert told == [1, "nccl"]
    assert told == [1, "nccl", "end"]


def test_normalisation_is_shared_between_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "DistributedDataParallel", lambda model: model)
    for device, is_shared in (("cpu", False), ("meta", True)):
        model = distributed.together(networks.Block(3, 4, 1).to(device))
        assert isinstance(model[1], nn.SyncBatchNorm) == is_shared
