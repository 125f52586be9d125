"""Another value for each parameter of base.yaml, and what else must be set for it to count."""

from dmnet_lib.core import params
from dmnet_lib.core.params import Value

MODEL, CURVE = "MODEL", "CURVE"  # stand for files that tests write
ONNX = {
    "05_fused_detection.architecture": "onnx",
    "05_fused_detection.model_file": MODEL,
    "05_fused_detection.class_map": ["red: car"],
}
ADAPTIVE = {"01_density_ground_truth.sigma_rule": "adaptive"}
WITH = {  # parameters that count for nothing alone
    "common.layout": {"common.dataset": "coco"},
    "01_density_ground_truth.neighbours": ADAPTIVE,
    "01_density_ground_truth.beta": ADAPTIVE,
    "05_fused_detection.pretrained": {"05_fused_detection.architecture": "fasterrcnn_resnet50_fpn"},
    "05_fused_detection.model_file": ONNX,
    "05_fused_detection.model_classes": ONNX,
    "05_fused_detection.class_map": ONNX,
}
ELSEWHERE = {
    "common.layout": "tests/data/test_datasets.py reads data by it",
    "05_fused_detection.model_file": "it is among what is set; its content is in the key",
}
OTHERS: dict[str, Value] = {
    "common.dataset": "visdrone",
    "common.data_root": "data/elsewhere",
    "common.layout": "labels/{split}.json, pixels/{split}",
    "common.train_split": "val",
    "common.val_split": "train",
    "common.test_split": "val",
    "common.device": "mps",
    "common.classes": ["car: car + van", "bus"],
    "common.profile_changes": ["connectivity=4"],
    "01_density_ground_truth.size_edges_px": [16, 64],
    "02_mcnn_training.weight_decay": 0.5,
    "02_mcnn_training.min_count_ratio": 1.0,
    "03_density_crops.threshold": 0.2,
    "03_density_crops.target_containment": 0.2,
    "03_density_crops.min_area_px": 60000,
    "03_density_crops.max_upscale": 3.0,
    "03_density_crops.crop_aspect": "1:1",
    "03_density_crops.recall_curve": CURVE,
    "05_fused_detection.architecture": "onnx",
    "05_fused_detection.model_file": MODEL,
    "05_fused_detection.model_classes": ["green", "blue", "red"],
    "05_fused_detection.class_map": ["green: car"],
    "05_fused_detection.decay_at": ["1/2"],
    "05_fused_detection.weight_decay": 0.5,
    "05_fused_detection.fusion_iou": 0.2,
    "05_fused_detection.fusion_top": 3,
    "05_fused_detection.score_threshold": 0.0,
    "05_fused_detection.view_weight": 1.0,
    "05_fused_detection.budgets": [3],
    "05_fused_detection.grids": ["2x2"],
    "05_fused_detection.tiles_px": [500],
    "06_evaluation.max_detections": 2,
    "07_compare_experiments.names": ["tiny"],
}


def other(place: str) -> Value:
    """Return a value of a parameter that base.yaml does not give it."""
    section, _, name = place.partition(".")
    one = params.declared()[section][name]
    if place in OTHERS:
        value = OTHERS[place]
    elif isinstance(one.default, bool):
        value = not one.default
    elif isinstance(one.default, str):
        choices = params.CHOICES.match(one.allowed)[1].split(",")
        value = next(word.strip() for word in choices if word.strip() != one.default)
    elif name == "examples":
        value = 1
    elif isinstance(one.default, int):
        value = one.default + (32 if name.endswith("_px") else 1)
    else:
        value = one.default / 2
    return value
