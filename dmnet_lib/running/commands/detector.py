"""An ONNX file -> what detector it is: input, head, pixels and classes, a line each."""

from dataclasses import dataclass
from pathlib import Path

from dmnet_lib.running.commands.common import Say, option


@dataclass(frozen=True)
class Options:
    """The file, and what it does not say itself."""

    file: Path = option("an ONNX model", "", metavar="FILE")
    head: str = option("what it answers by, if not seen from its answers", default="")
    model_classes: str = option("its classes, if it names none: coco, or NAME, NAME", default="")
    classes: str = option("those that count, and as what: 'person: pedestrian, car'", default="")


def run(options: Options, say: Say) -> None:
    from dmnet_lib.detection.onnx import Network, Onnx

    network = Network.open(options.file.absolute()).describe()
    for name, words in network.items():
        say(f"{name:<9} {words}")  # also of a file that is refused below
    about = {"names": options.model_classes, "head": options.head}
    rules = {"score_threshold": 0.05, "iou_threshold": 0.7}  # which nothing shown depends on
    found = Onnx.open(options.file, class_map=options.classes, **about, **rules)
    say.result({**network, **found.describe()})
    for name, words in found.describe().items():
        say(f"{name:<9} {words}")
