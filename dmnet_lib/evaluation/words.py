"""Strategies' scores and their samples in, one sentence out: did looking closer pay, or not?"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from dmnet_lib.detection.strategies import BASELINES
from dmnet_lib.evaluation.difference import Difference

FEW_IMAGES = 20  # under it an interval over images says little
Rows = Mapping[str, Mapping[str, object]]


def best(rows: Rows, names: Iterable[str]) -> str | None:
    """Return the strategy of the highest AP that is no upper bound; None where there is no AP."""
    practical = (name for name in names if rows[name].get("source") != "oracle")
    scored = [name for name in practical if rows[name].get("AP") is not None]
    return max(scored, key=lambda name: rows[name]["AP"], default=None)


def judge(
    rows: Rows,
    samples: Mapping[str, Mapping[str, np.ndarray]],
    main: Sequence[str],
    *,
    images: int,
    level: float,
    seen: bool,
) -> dict[str, object]:
    """Return the verdict on the best practical strategy that chooses its crops.

    It is held against the best of those that do not: one pass, full resolution, grids, tiles. Only
    main strategies count, since they were named before anything was scored. rows hold AP,
    megapixels, kind and source of each; samples, as in `scoring.Scores`, their AP on the same
    draws of images. seen says that the images were also learned or chosen on.

    The verdict has `tone` (wins, loses, unclear, untold), `sentence`, `against` (what speaks
    against it), `strategy`, `rival`, and `difference` with `low` and `high`.
    """
    chosen = best(rows, [name for name in main if rows[name]["kind"] not in BASELINES])
    rival = best(rows, [name for name in main if rows[name]["kind"] in BASELINES])
    if chosen is None or rival is None:
        return _untold(images, best(rows, main))
    pair = (samples[name]["AP"] for name in (chosen, rival))
    apart = Difference.between(*pair, level=level)
    tone = _tone(apart)
    told = _told(chosen, rival, rows, apart, tone)
    if images < FEW_IMAGES:
        told, tone = f"{told[:-1]}, but {images} images are too few to rely on.", "unclear"
    elif seen and tone == "wins":
        told, tone = f"{told[:-1]}, but on images also learned or chosen on.", "unclear"
    against = _against(rows[chosen], rows[rival], images=images, seen=seen)
    verdict = {"tone": tone, "sentence": told, "against": against}
    return verdict | {"strategy": chosen, "rival": rival} | apart.record()


def _untold(images: int, strategy: str | None) -> dict[str, object]:
    sentence = (
        f"Nothing can be told from {images} images: there is no pair of strategies to compare."
    )
    return {"tone": "untold", "sentence": sentence, "against": [], "strategy": strategy}


def _tone(apart: Difference) -> str:
    if not apart.is_significant:
        return "unclear"
    return "wins" if apart.value > 0 else "loses"


def _told(chosen: str, rival: str, rows: Rows, apart: Difference, tone: str) -> str:
    """Return the sentence: who, at which cost, and by how much, with the interval."""
    verb = {"wins": "beats", "loses": "loses to"}.get(tone, "does not differ significantly from")
    megapixels = [f"{rows[name]['megapixels']:.2f}" for name in (chosen, rival)]
    return (
        f"`{chosen}` {verb} `{rival}`, the best fixed-grid or whole-image baseline, at "
        f"{' instead of '.join(megapixels)} megapixels per image: {apart.words()}."
    )


def _against(
    row: Mapping[str, object], other: Mapping[str, object], *, images: int, seen: bool
) -> list[str]:
    """Return what a reader should hold against the sentence."""
    doubts = {
        "Networks or choices know some of these images: every figure is too good.": seen,
        "Over so few images the interval itself is rough.": images < FEW_IMAGES,
        "It looks at more pixels than what it is compared with.": row["megapixels"]
        > other["megapixels"],
        "MCNN's own pass over the image comes on top of its megapixels.": row["source"] == "mcnn",
        "The interval is over images alone: another training may move it.": True,
    }
    return [doubt for doubt, holds in doubts.items() if holds]
