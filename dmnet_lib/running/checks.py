"""An experiment's values in, nothing out, or an InputError, before anything is run.

What stages give their values to is given them here, where they differ from base.yaml. Torch and the
data are loaded only for what needs them.
"""

from collections.abc import Callable

from dmnet_lib.core import files, lists, params
from dmnet_lib.core.classes import Classes
from dmnet_lib.core.files import InputError
from dmnet_lib.core.params import COMMON, Experiment, Value
from dmnet_lib.core.result_folder import CROPS, DENSITY, DETECTION, MCNN
from dmnet_lib.cropping import input_scale, planning, plans, recall, threshold
from dmnet_lib.cropping.input_scale import InputScale
from dmnet_lib.data import splits
from dmnet_lib.data.datasets import Source
from dmnet_lib.data.formats.visdrone import VISDRONE
from dmnet_lib.density import sizes


def check(experiment: Experiment) -> None:
    """Raise InputError for a value that a stage would refuse; it names the file and the parameter.

    These are texts and lists with a form of their own, classes, and the detector's file.
    """
    is_file = experiment.path.stem == experiment.name
    where = params.shown(experiment.path) if is_file else experiment.name
    for section, values in experiment.changed.items():
        for name, value in values.items():
            if user := USERS.get((section, name)):
                _attempt(f"{where}: {section}.{name}", lambda: user(value))  # noqa: B023 (now)
    if "classes" in experiment.changed.get(COMMON, ()):
        _attempt(f"{where}: {COMMON}.classes", lambda: _classes(experiment))
    if experiment.sections.get(DETECTION, {}).get("architecture") == "onnx":
        _attempt(f"{where}: {DETECTION}", lambda: _detector(experiment))


def _attempt(where: str, use: Callable[[], object]) -> None:
    try:
        use()
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _classes(experiment: Experiment) -> Classes:
    """Return the classes of the test split; scenes, which may not be there yet, have VisDrone's."""
    common = experiment.sections[COMMON]
    source = Source.of(common)
    if source.dataset != splits.SCENES:
        return source.load(str(common["test_split"])).annotations.classes
    return VISDRONE.merged(source.classes)[0] if lists.parts(source.classes) else VISDRONE


def _detector(experiment: Experiment) -> None:
    """Open the detector's file as notebook 05 does, and hold its input against the crops."""
    from dmnet_lib.detection.onnx import Onnx

    given, crops = experiment.sections[DETECTION], experiment.sections[CROPS]
    detector = Onnx.open(
        files.model_path(str(given["model_file"])), _classes(experiment), given["class_map"],
        names=given["model_classes"], score_threshold=given["score_threshold"],
        iou_threshold=given["fusion_iou"],
    )  # fmt: skip
    scale = InputScale(crops["input_long_px"], crops["max_upscale"], detector.input_wh)
    input_scale.require_fit(scale, planning.parse_aspect(str(crops["crop_aspect"])))


def _decays(shares: Value) -> None:
    from dmnet_lib.training.loop import Recipe

    Recipe(steps=1, learning_rate=1.0, evaluate_every=1, decay_at=shares)


def _mcnn_patches(side_px: Value) -> None:
    from dmnet_lib.training.density import Patches

    Patches(side_px, 1.0)


USERS: dict[tuple[str, str], Callable[[Value], object]] = {
    (DENSITY, "size_edges_px"): sizes.parse,
    (MCNN, "patch_px"): _mcnn_patches,
    (CROPS, "crop_aspect"): planning.parse_aspect,
    (CROPS, "recall_curve"): lambda path: recall.read(files.ROOT / path),
    (DETECTION, "decay_at"): _decays,
    (DETECTION, "budgets"): plans.budgets,
    (DETECTION, "grids"): threshold.grid_shapes,
    (DETECTION, "tiles_px"): threshold.tile_sides,
}
