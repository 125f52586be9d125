"""Training: it goes on where it was killed, stops when it goes wrong, and learns what is there."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import builders
import numpy as np
import pytest
import torch
from torch import nn

from dmnet_lib.core import files, images, params, weights
from dmnet_lib.core.files import ROOT, InputError
from dmnet_lib.core.result_folder import ResultFolder
from dmnet_lib.core.tables import Regions
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.data.splits import Images, Split
from dmnet_lib.density import maps, mcnn, points, sizes
from dmnet_lib.detection import detectors, networks
from dmnet_lib.training import density, detection, feed, gradients, jobs, loop
from dmnet_lib.training.loop import Recipe

RECIPE = Recipe(steps=6, learning_rate=0.05, evaluate_every=2, seed=3)
PATCHES = detection.Patches(InputScale(128, 2.0), patch_px=64, whole_share=0.5)
SMALL = density.Patches(patch_px=32, input_scale=0.5)
ONE = sizes.plain(())  # bin for all sizes, as in the paper
SIDE = 12  # px, of the white squares that are the only objects


def random_layers() -> nn.Module:
    """A network that draws in training, as Faster R-CNN does."""
    return nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 1))


def layers() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))


def batch(rng: np.random.Generator) -> tuple[torch.Tensor]:
    return (torch.from_numpy(rng.normal(size=(8, 2))).float(),)


def squared(model: nn.Module, batch: tuple[torch.Tensor]) -> torch.Tensor:
    (pixels,) = batch
    return ((model(pixels) - pixels.sum(dim=1, keepdim=True)) ** 2).mean()


def train(
    recipe: Recipe = RECIPE, *, make: Callable[[], nn.Module] = layers, **changed: object
) -> tuple[nn.Module, list[dict]]:
    """Return a small model trained by the recipe, and its curve."""
    model = weights.seeded(make, 0)
    usual = {"draw_batch": batch, "loss_of": squared, "evaluate": lambda _: {}, "minimise": "loss"}
    with tempfile.TemporaryDirectory() as folder:
        usual |= {"checkpoint": Path(folder) / "c.pt", "label": "training"}
        curve = loop.fit(model, recipe, **(usual | changed))
    return model, curve.to_dict("records")


def killed_after(steps: int) -> Callable[[np.random.Generator], torch.Tensor]:
    """Return what draws so many batches and is then interrupted."""
    left = iter(range(steps))

    def draw(rng: np.random.Generator) -> torch.Tensor:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return batch(rng)

    return draw


def equal(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are drawn here unless a test asks for workers: some count what they draw."""
    monkeypatch.setenv(feed.JOBS, "0")


def scene(folder: Path, corners: list[tuple[int, int]], *, size_wh: tuple[int, int]) -> Split:
    """One black image with a white square at each corner, each a car."""
    pixels = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    for x, y in corners:
        pixels[y : y + SIDE, x : x + SIDE] = 255
    path = files.write_bytes(folder / "a.jpg", images.encode_jpeg(pixels, quality=100))
    rows = [builders.car(x, y, SIDE, SIDE) for x, y in corners]
    return Split("train", builders.table(rows, size_wh=size_wh), Images((path,)))


rng = np.random.default_rng


# loop


def test_the_rate_warms_up_and_falls_to_nothing():
    recipe = Recipe(steps=100, learning_rate=1.0, evaluate_every=1)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(a >= b for a, b in pairwise(rates[4:]))
    assert 0 < rates[-1] < 0.01


def test_the_rate_falls_to_a_tenth_at_shares_of_the_steps() -> None:
    recipe = Recipe(steps=42, learning_rate=1.0, evaluate_every=1, decay_at="25/42, 0.8333")
    rates = [recipe.rate(step) for step in range(42)]
    assert rates[2:25] == [1.0] * 23
    assert rates[25:] == pytest.approx([0.1] * 10 + [0.01] * 7)
    for text in ("25", "1/0", "25/42 35/42", "0.5,", "-0.5"):
        with pytest.raises(InputError, match=r"decay_at .*: expected shares of the steps"):
            Recipe(steps=42, learning_rate=1.0, evaluate_every=1, decay_at=text)


def test_both_optimisers_lower_the_loss_each_its_own_way() -> None:
    ends = [train(replace(RECIPE, optimiser=name))[1][-1]["loss"] for name in loop.OPTIMISERS]
    assert max(ends) < train(replace(RECIPE, learning_rate=1e-9))[1][-1]["loss"]
    assert ends[0] != ends[1]


def test_the_same_seed_trains_the_same_weights_and_another_does_not():
    (a, rows), (b, _), (other, rarely) = train(), train(), train(Recipe(5, 0.05, 9, seed=4))
    assert equal(a, b)
    assert not equal(a, other)
    assert not a.training
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert [row["step"] for row in rarely] == [5]


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_a_killed_run_goes_on_and_ends_as_an_unbroken_one(tmp_path: Path, steps: int) -> None:
    unbroken, rows = train()
    path = tmp_path / "c.pt"
    with pytest.raises(KeyboardInterrupt):
        train(checkpoint=path, draw_batch=killed_after(steps))
    assert path.exists() == (steps >= RECIPE.evaluate_every)
    again, rows_again = train(checkpoint=path)
    assert equal(again, unbroken)
    assert rows_again == rows


def test_a_network_that_draws_at_random_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    given = {"make": random_layers, "checkpoint": tmp_path / "c.pt"}
    before = torch.get_rng_state()
    unbroken, _ = train(make=random_layers)
    assert torch.equal(torch.get_rng_state(), before)  # torch's own generator is left alone
    torch.rand(3)
    with pytest.raises(KeyboardInterrupt):
        train(**given, draw_batch=killed_after(3))
    again, _ = train(**given)
    assert equal(again, unbroken)
    assert gradients.draws(unbroken) and not gradients.draws(layers())


def test_a_finished_run_is_taken_as_it_is_also_with_measures_of_numpy(tmp_path: Path):
    given = {"checkpoint": tmp_path / "c.pt", "evaluate": lambda _: {"e": np.float64(0.5)}}
    (model, rows), (again, rows_again) = train(**given), train(**given, draw_batch=killed_after(0))
    assert equal(model, again)
    assert rows == rows_again
    assert [row["e"] for row in rows] == [0.5] * 3


def test_the_weights_of_the_lowest_measure_are_kept_also_over_a_kill(tmp_path: Path):
    seen = []

    def evaluate(model: nn.Module) -> dict[str, float]:
        seen.append(model.state_dict()["0.weight"].clone())
        return {"error": [3.0, 1.0, 2.0][len(seen) - 1]}

    chosen = {"evaluate": evaluate, "minimise": "error", "checkpoint": tmp_path / "c.pt"}
    with pytest.raises(KeyboardInterrupt):
        train(**chosen, draw_batch=killed_after(4))
    model, _ = train(**chosen)
    assert len(seen) == 3
    assert torch.equal(model.state_dict()["0.weight"], seen[1])
    assert not torch.equal(seen[1], seen[2])


@pytest.mark.parametrize("values", [[math.nan, 2.0, 1.0], [math.nan] * 3, [math.inf] * 3])
def test_a_measure_that_is_no_number_is_never_the_best_of_several(values: list[float]) -> None:
    left, falling = iter(values), iter([3.0, 2.0, 1.0])
    model, rows = train(evaluate=lambda _: {"error": next(left)}, minimise="error")
    assert len(rows) == 3
    last, _ = train(evaluate=lambda _: {"error": next(falling)}, minimise="error")
    assert equal(model, last) == (values[-1] == 1.0)


@pytest.mark.parametrize("how", ["torn", "text", "other model", "other content"])
def test_what_is_no_checkpoint_of_this_model_is_named_in_one_line(tmp_path: Path, how: str) -> None:
    path = tmp_path / "c.pt"
    train(checkpoint=path)
    whole = path.read_bytes()
    saved = torch.load(path, weights_only=True)
    if how == "other model":
        torch.save(saved | {"model": nn.Linear(1, 1).state_dict()}, path)
    elif how == "other content":
        torch.save({name: saved[name] for name in ("model", "optimiser", "step")}, path)
    else:
        path.write_bytes(whole[: len(whole) // 2] if how == "torn" else b"text")
    with pytest.raises(InputError, match=r"c\.pt: not a checkpoint of this model; remove it") as at:
        train(checkpoint=path)
    assert "\n" not in str(at.value)


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    with pytest.raises(InputError, match="the loss became nan: lower learning_rate"):
        train(loss_of=lambda model, pixels: squared(model, pixels) * math.nan)


# feed


def drawing(split: Split) -> feed.Draw:
    at = points.from_annotations(split.annotations)
    given = {"images": split.images, "points": at, "bins": ONE, "patches": SMALL}
    return partial(density.patch_batch, **given, count=2)


def drawn(jobs: int, draw: feed.Draw, steps: range, monkeypatch: pytest.MonkeyPatch) -> list:
    monkeypatch.setenv(feed.JOBS, str(jobs))
    return list(feed.batches_of(draw, 5, steps, torch.device("cpu")))


def test_the_number_of_workers_changes_no_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a run goes on in the middle; and a loader leaves torch's generator alone."""
    split = scene(tmp_path, [(20, 14), (60, 40)], size_wh=(100, 80))
    draw = drawing(split)
    here = drawn(0, draw, range(5), monkeypatch)
    before = torch.random.get_rng_state()
    assert len({float(pixels.sum()) for pixels, _ in here}) == 5
    for count, steps in ((1, range(5)), (3, range(3, 5)), (2, range(5, 5))):
        there = drawn(count, draw, steps, monkeypatch)
        assert len(there) == len(steps)
        for step, batch in zip(steps, there, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(here[step], batch, strict=True))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_torn_image_is_one_line_also_from_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = scene(tmp_path, [(20, 14)], size_wh=(100, 80))
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:300])
    draw = drawing(split)
    for count in (0, 1):
        with pytest.raises(InputError, match=r"a\.jpg") as caught:
            drawn(count, draw, range(2), monkeypatch)
        assert "\n" not in str(caught.value)


def test_a_lost_worker_is_one_line() -> None:
    with pytest.raises(InputError, match="DMNET_JOBS=1"), feed.lost_workers_told():
        raise RuntimeError("DataLoader worker (pid 5) is killed by signal: Killed.")
    with pytest.raises(RuntimeError, match="shapes"), feed.lost_workers_told():
        raise RuntimeError("shapes do not fit")


def test_workers_get_the_cores_that_training_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(feed.JOBS)
    monkeypatch.setattr("dmnet_lib.core.parallel.cores", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    assert feed.workers(torch.device("cpu")) == 2
    assert feed.workers(torch.device("cuda")) == 7
    monkeypatch.setattr(torch, "get_num_threads", lambda: 9)
    assert feed.workers(torch.device("cpu")) == 1
    monkeypatch.setenv(feed.JOBS, "many")
    with pytest.raises(InputError, match="DMNET_JOBS=many: expected a number"):
        feed.workers(torch.device("cpu"))


# density


def still(*values: float) -> nn.Module:
    """Return a network that predicts these values in every cell, one a size, before the gain."""
    layer = nn.Conv2d(3, len(values), mcnn.STRIDE, stride=mcnn.STRIDE)
    nn.init.zeros_(layer.weight)
    layer.bias.data = torch.tensor(values) * mcnn.TARGET_GAIN
    return layer


def test_patches_of_an_empty_image_hold_nothing(tmp_path: Path):
    split = scene(tmp_path, [], size_wh=(80, 60))
    at = points.from_annotations(split.annotations)
    pixels, target = density.patch_batch(rng(0), split.images, at, ONE, SMALL, count=3)
    assert pixels.shape == (3, 3, 32, 32)
    assert target.shape == (3, 1, 8, 8)
    assert target.abs().sum() == 0
    with pytest.raises(InputError, match="patch_px is 30: it must be a multiple of 4"):
        density.Patches(30, 0.5)


@pytest.mark.parametrize("rotate", [False, True], ids=["upright", "turned"])
@pytest.mark.parametrize("size_wh", [(160, 120), (50, 40)], ids=["larger", "smaller"])
def test_the_target_of_a_patch_lies_on_its_objects(
    tmp_path: Path, size_wh: tuple, rotate: bool
) -> None:
    """The cell with the most mass is white, mirrored or not, at every scale."""
    split = scene(tmp_path, [(20, 14)], size_wh=size_wh)
    at = points.from_annotations(split.annotations, sigma_px=2)
    near = density.Patches(48, 0.9, rotate=rotate)
    pixels, target = density.patch_batch(rng(0), split.images, at, ONE, near, count=24)
    blocks = nn.functional.avg_pool2d(pixels.mean(dim=1, keepdim=True), mcnn.STRIDE)
    seen = [i for i in range(24) if target[i].sum() > 0.9]
    assert len(seen) > 5
    for i in seen:
        assert blocks[i].flatten()[target[i].argmax()] > 1
        assert target[i].sum() == pytest.approx(1, abs=0.1)


def test_targets_by_size_add_up_and_each_object_is_in_its_own(tmp_path: Path) -> None:
    split = scene(tmp_path, [(20, 14), (60, 40)], size_wh=(100, 80))
    at = points.from_annotations(split.annotations, sigma_px=3)
    at = replace(at, sides_px=np.array([5.0, 40.0]))
    bins = sizes.plain((10.0, 20.0))
    wide = density.Patches(48, 0.6)
    pixels, target = density.patch_batch(rng(2), split.images, at, bins, wide, count=6)
    again, whole = density.patch_batch(rng(2), split.images, at, ONE, wide, count=6)
    assert torch.equal(pixels, again)
    assert target.shape == (6, 3, 12, 12)
    torch.testing.assert_close(target.sum(dim=1, keepdim=True), whole)
    assert not target[:, 1].any()
    assert target[:, 0].any()
    assert target[:, 2].any()


@pytest.mark.parametrize("input_scale", [0.3, 0.5, 0.7, 1.0])
def test_predicted_and_true_maps_have_the_same_cells(tmp_path: Path, input_scale: float) -> None:
    for size_wh in ((64, 65), (66, 67), (73, 94), (80, 81)):
        split = scene(tmp_path / str(size_wh), [(20, 14)], size_wh=size_wh)
        at = points.from_annotations(split.annotations)
        predicted = mcnn.predict(still(0.01), split.images[0], input_scale=input_scale)
        true = maps.draw(at, 0, stride=mcnn.STRIDE / input_scale)
        assert predicted.shape == (1, *true.shape)
        assert predicted == pytest.approx(0.01)


def test_a_collapsed_network_stops_the_run(tmp_path: Path):
    split = scene(tmp_path, [(20, 14)], size_wh=(64, 65))
    at, given = points.from_annotations(split.annotations), {"input_scale": 0.5}
    measure = density.measures(split.images, at, **given, min_count_ratio=0.05)
    with pytest.raises(InputError, match=r"collapsed: its maps hold 0\.0% .* try another seed"):
        measure(still(-1))
    assert measure(still(1 / 72))["count_ratio"] == pytest.approx(1)
    assert measure(still(1 / 72))["mae"] == pytest.approx(0, abs=1e-5)
    nothing = at.where(at.sides_px < 0)
    measure = density.measures(split.images, nothing, **given, min_count_ratio=0.05)
    assert measure(still(-1))["mae"] == 0


def test_maps_are_predicted_and_timed_one_by_one(tmp_path: Path) -> None:
    split = scene(tmp_path, [(20, 14)], size_wh=(80, 64))
    model = weights.seeded(lambda: mcnn.MCNN(2), 0)
    files.write_bytes(tmp_path / "maps" / "000009.npy", b"of another split")
    made, seconds = mcnn.write_maps(tmp_path / "maps", model, split.images, 1, input_scale=0.5)
    (found,) = made
    assert np.array_equal(found, mcnn.predict(model, split.images[0], input_scale=0.5))
    assert (seconds.shape, seconds.min() > 0) == ((1,), True)


# detection


NO_CROP = Regions.from_lists([[]])


def fcos() -> nn.Module:
    return weights.seeded(lambda: networks.build("fcos_small", VISDRONE), 0)


def test_patches_of_an_empty_image_have_no_boxes(tmp_path: Path):
    split = scene(tmp_path, [], size_wh=(128, 96))
    pixels, targets = detection.patch_batch(rng(0), split, NO_CROP, PATCHES, count=4)
    assert [one.shape for one in pixels] == [(3, 64, 64)] * 4
    assert [one["boxes"].shape for one in targets] == [(0, 4)] * 4
    assert torch.isfinite(detection.loss(fcos().train(), (pixels, targets)))


@pytest.mark.parametrize("size_wh", [(256, 192), (48, 40)], ids=["larger", "smaller"])
def test_the_boxes_of_a_patch_lie_on_its_objects(tmp_path: Path, size_wh: tuple) -> None:
    """White inside the boxes, dark everywhere else, mirrored or not, at every scale."""
    split = scene(tmp_path, [(3, 2), (30, 20)], size_wh=size_wh)
    regions = Regions.from_lists([[[0, 0, 40, 30]]])
    patches, targets = detection.patch_batch(rng(0), split, regions, PATCHES, count=24)
    for pixels, target in zip(patches, targets, strict=True):
        inside = torch.zeros(64, 64, dtype=torch.bool)
        for x1, y1, x2, y2 in target["boxes"].tolist():
            assert 0 <= x1 < x2 <= 64
            assert 0 <= y1 < y2 <= 64
            inside[round(y1) : round(y2), round(x1) : round(x2)] = True
            assert pixels[0, int((y1 + y2) / 2), int((x1 + x2) / 2)] > 0.7
        near = nn.functional.max_pool2d(inside.float()[None], 5, 1, 2)[0] > 0
        # A square that hardly shows is not taught, and lies at the border.
        bright = (pixels[0] > 0.7) & ~near
        assert not bright[16:-16, 16:-16].any()
        assert set(target["labels"].tolist()) <= {4}
    assert sum(len(target["boxes"]) for target in targets) > 10


def test_an_ignored_region_is_grey(tmp_path: Path):
    split = scene(tmp_path, [(20, 14)], size_wh=(128, 96))
    ignored = builders.table([(0, 0, 128, 96, 0, 0, 0, 0)], size_wh=(128, 96))
    split = replace(split, annotations=ignored)
    drawn = detection.patch_batch(rng(0), split, NO_CROP, PATCHES, count=6)
    for patch, target in zip(*drawn, strict=True):
        assert len(target["boxes"]) == 0
        assert patch.max() - patch.min() == 0


def test_the_held_out_loss_repeats_and_teaches_nothing(tmp_path: Path):
    split = scene(tmp_path, [(20, 14)], size_wh=(128, 96))
    measure, model = detection.measures(split, NO_CROP, PATCHES, count=2, draws=2), fcos()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert measure(model) == measure(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_few_steps_lower_the_detectors_loss(tmp_path: Path):
    split = scene(tmp_path, [(20, 14), (80, 50)], size_wh=(128, 96))
    given = {"split": split, "regions": NO_CROP, "patches": PATCHES, "count": 2}
    curve = loop.fit(
        fcos(), Recipe(steps=8, learning_rate=0.002, evaluate_every=4),
        draw_batch=partial(detection.patch_batch, **given), loss_of=detection.loss,
        evaluate=detection.measures(**given, draws=1), minimise="val_loss",
        checkpoint=tmp_path / "c.pt", label="detector",
    )  # fmt: skip
    assert curve["loss"].iloc[-1] < curve["loss"].iloc[0]


def test_training_refuses_stages_of_other_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DMNET_RESULTS_ROOT", str(tmp_path))
    stage = "01_density_ground_truth"
    ResultFolder(tmp_path / "tiny").with_stage(stage, "k", {}).write()
    files.write_text(tmp_path / "tiny" / stage / "k" / "params.yaml", "sigma_px: 3.5")
    with pytest.raises(InputError, match=rf"{stage} was run with sigma_px: 3.5, .*--until {stage}"):
        jobs.train(params.load(ROOT / "params" / "tiny.yaml"), "mcnn")


def test_each_network_is_trained_by_one_function(tmp_path: Path) -> None:
    """The weights kept are those of the curve's best step; a second call finds it trained."""
    split = scene(tmp_path, [(20, 14), (60, 40)], size_wh=(100, 80))
    at, crops = points.from_annotations(split.annotations), Regions.from_lists([[[0, 0, 64, 64]]])
    recipe = Recipe(steps=2, learning_rate=1e-3, evaluate_every=1)
    given = {"batch_size": 2, "device": "cpu"}
    detector = {"architecture": "fcos_small", "score_threshold": 0.05, "pretrained": "none"}
    for name in ("first", "again"):
        counted, rows = density.train_mcnn(
            (split.images, at), (split.images, at), ONE, SMALL, recipe, **given,
            min_count_ratio=0.0, checkpoint=tmp_path / "mcnn.pt",
        )  # fmt: skip
        assert len(rows) == 2, name
        measured = density.measures(split.images, at, input_scale=0.5, min_count_ratio=0.0)(counted)
        assert measured["cell_rmse"] == pytest.approx(rows[density.BEST].min())
        found, rows = detection.train_detector(
            (split, crops), (split, crops), PATCHES, recipe, **given, **detector,
            checkpoint=tmp_path / "detector.pt",
        )  # fmt: skip
        assert len(rows) == 2, name
    trained = networks.Torchvision(found, VISDRONE)
    about = networks.write(tmp_path, trained, steps=2, val_loss=float(rows["val_loss"].min()))
    assert about == files.read_json(tmp_path / detectors.ABOUT)
    again = weights.read(tmp_path / networks.WEIGHTS, networks.build("fcos_small", VISDRONE))
    for key, value in found.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])


def test_halves_of_a_batch_add_up_to_its_gradients() -> None:
    """Of a network without normalisation: a batch of 7 in halves of 4 and 3."""
    rng, loss_of = np.random.default_rng(0), squared
    model = weights.seeded(partial(nn.Linear, 2, 1), 0)
    rows = (torch.from_numpy(rng.normal(size=(7, 2))).float(),)
    expected = gradients.whole(model, loss_of, rows)
    wanted = [one.grad.clone() for one in model.parameters()]
    model.zero_grad()
    halves = gradients.Halves(model, loss_of)
    assert halves(rows) == pytest.approx(expected)
    for one, grad in zip(model.parameters(), wanted, strict=True):
        torch.testing.assert_close(one.grad, grad)
    model.zero_grad()
    one = (rows[0][:1],)
    assert halves(one) == pytest.approx(loss_of(model, one).item())


def test_halves_measure_what_normalises_on_all_of_a_batch() -> None:
    model = weights.seeded(layers, 0)
    rows = torch.cat([torch.zeros(4, 2), torch.ones(4, 2)])
    gradients.Halves(model, squared)((rows,))
    zero, one = (model[0](part[:1])[0] for part in (rows, rows[4:]))
    torch.testing.assert_close(model[1].running_mean, 0.1 * (zero + one) / 2)
