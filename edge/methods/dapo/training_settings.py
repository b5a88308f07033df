"""How DAPO is trained, as data."""

from __future__ import annotations

from edge.methods.multiads.training_settings import AdapterTraining


class DapoTraining(AdapterTraining):
    """Defaults follow the published protocol (section 5 of its spec), but for the choice of epoch.

    Attributes:
        least_steps: ours; on small sets validation still rises after the adapters' 400. Published
            are 216 steps per epoch, of which the first or second is taken.
        local_weight: of the losses of all levels together; `global_weight`: of the picture's.
    """

    epochs: int = 5
    least_steps: int = 600
    mosaic: float = 0.0
    local_weight: float = 4.0
    global_weight: float = 1.0
