"""The choice of the network size."""

from __future__ import annotations

from edge.methods.inp_former.sizing import best_size
from edge.methods.run_record import SizeTrial


def test_the_smallest_size_that_is_nearly_best_is_taken() -> None:
    trials = [
        SizeTrial(size_wh=(256, 256), auroc=0.90),
        SizeTrial(size_wh=(320, 320), auroc=0.945),
        SizeTrial(size_wh=(448, 448), auroc=0.95),
    ]
    assert best_size(trials) == (320, 320)
    assert best_size(trials[:1]) == (256, 256)
