"""A detector and labelled images -> its recall curve, beside its file, where `predict` finds it."""

from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.core.files import InputError
from dmnet_lib.running.commands import common
from dmnet_lib.running.commands.common import DetectorOptions, Say, option


@dataclass(frozen=True)
class Options:
    """Labelled images, and the detector that looks at them."""

    source: common.SplitOptions
    detector: DetectorOptions
    images: int = option("at most so many, evenly spread", type=common.count, default=100)
    replaced: common.OutOptions

    def __post_init__(self) -> None:
        if self.detector.detector is None or not Path(self.detector.detector).is_file():
            told = "a curve lies beside a file: --detector takes an ONNX file here"
            raise InputError(f"{self.detector.detector or 'no detector'}: {told}")


def run(options: Options, say: Say) -> None:
    split = options.source.read(say)
    if split.images is None or not split.annotations.is_object.any():
        raise InputError(f"{options.source.root}: a curve needs images, and objects in them")
    from dmnet_lib.detection import calibrating, recall_samples, sources  # which help does without
    from dmnet_lib.reporting import charts

    own = options.detector
    path = sources.measured_path(Path(own.detector))
    made = [options.replaced.made(one, "calibrate") for one in (path, path.with_suffix(".png"))]
    found = calibrating.measure(
        own.detector, recall_samples.sample(split, options.images), **own.how()
    )
    curves = {"at an IoU of 0.5": found.at_half, "mean over IoU 0.5 to 0.95": found.curve}
    with made[0].writing(), made[1].writing():
        found.write(Path(own.detector))
        charts.recall_curves(curves, found.table).savefig(path.with_suffix(".png"), dpi=150)
    for line in found.words():
        say(line)
    say(f"{path}: the curve by which `dmnet predict` plans, and {path.stem}.png, its figure")
