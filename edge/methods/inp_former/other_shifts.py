"""What good parts would score in other light and another place, by detectors without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge.data.augmentation import COLOUR_CHANGES, OTHER_SHIFT, changed_view, is_grey
from edge.data.frames import InputShape
from edge.data.image_set import Sample
from edge.data.synthetic_defects import Image
from edge.geometry.view_transform import View
from edge.methods.inp_former.detector import Detector
from edge.methods.inp_former.fusion_fitting import Judge, Trial, judge_pictures

# Pictures that are changed, each in every way.
PICTURES = 24


def shift_pictures(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Good pictures that are changed, spread over all of them."""
    return samples[:: max(1, len(samples) // PICTURES)][:PICTURES]


def try_other_shifts(
    detector: Detector,
    judge: Judge,
    samples: Sequence[Sample],
    chosen: Sequence[Sample],
    shape: InputShape,
    advance: Callable[[int], None],
) -> Trial:
    """Judge the chosen ones of the good pictures after each change of edge.data.augmentation.

    The kind of a picture is its change. Grey pictures are not changed in colour: no grey camera
    shows that.
    """
    return judge_pictures(detector, judge, samples, chosen, changed_pictures, shape, advance)


def changed_pictures(view: View) -> list[tuple[Image, str]]:
    """The pixels of a view after each change that its camera can show, and the change's name."""
    hidden = COLOUR_CHANGES if is_grey(view.pixels_bgr) else ()
    return [
        (changed_view(view, change), name)
        for name, change in OTHER_SHIFT.items()
        if name not in hidden
    ]
