"""The stages that a training goes through, for `stage x of y`: known before it starts.

A stage may turn out not to be needed, such as the calibration of a map that has learned nothing.
"""

from __future__ import annotations

from typing import Any

# Of the methods whose stages are the same whatever is asked for.
FIXED = {
    "multiads": ("features", "training", "calibration"),
    "mavis": ("features", "training", "calibration"),
    "dapo": ("features", "training", "calibration"),
    "promptmad": ("features", "reconstruction", "mask", "calibration"),
}
FAST_FORM = ("lessons", "head", "agreement")


def planned_stages(method: str, request: Any) -> tuple[str, ...]:
    """Return the names of all stages in their order, at most.

    Args:
        method: as edge-train has it.
        request: what the method's `fit` gets.
    """
    if method == "inp-former":
        return _inp_former(request)
    if method == "update":
        judged = ("held-out parts", "synthetic defects")
        return ("good parts", "reviews", *judged, "regions", "types", "frozen test")
    if method == "types":
        return _types(request)
    return FIXED.get(method, ())


def _inp_former(request: Any) -> tuple[str, ...]:
    if request.instant:
        return ("features", "parts left out")
    is_cross_fitted = request.training is not None and request.training.shares
    sizes = () if request.size_wh is not None or request.tiles_wh != (1, 1) else ("network size",)
    own = ("refiner",) if request.refine else ("head",) if request.head else ()
    probe = ("probe",) if request.branches else ()
    fitted = ("folds", *probe, "shares") if is_cross_fitted else probe
    return (*sizes, "features", "training", *own, *fitted, "branches", "calibration")


def _types(request: Any) -> tuple[str, ...]:
    rejects = ("false rejects",) if request.false_rejects is not None else ()
    learned = () if request.names_only else ("defects", "calibration")
    return (*rejects, *learned, "regions", "types")
