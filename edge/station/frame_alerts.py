"""Alerts about the frames themselves: another product in front of the camera, a faulty camera."""

from __future__ import annotations

from edge.messages.state_board import StateBoard
from edge.outputs.sink import Decided, ResultSink
from edge.result import Inspection, Reason, Verdict

# Parts in a row that raise an alert, and that clear it: not every odd part is an alert, and one
# that comes and goes with every part is none either.
IN_A_ROW = 5
# Share of a frame that is anomalous. Defects of the demo's product cover up to 9 %, the least of
# 139 frames of other products 27 %.
UNLIKE_SHARE = 0.2
_UNUSABLE = {Reason.CAMERA_ERROR, Reason.REPEATED_FRAME, Reason.NO_FRAME}
_UNJUDGED = {
    Reason.OVERRUN,
    Reason.ENGINE_ERROR,
    Reason.NOT_JUDGED,
}


class FrameAlerts(ResultSink):
    """Raises `unlike_product` and `unusable_frames` after five parts in a row, and clears them.

    A part is unlike the product when its frame fails the frame check, or when a failing part's
    regions cover a fifth of the frame. Frames that could not be judged for another reason count for
    neither alert. A changeover begins anew.
    """

    name = "frame alerts"

    def __init__(self, states: StateBoard):
        self._unlike = _Streak(states, "unlike_product")
        self._unusable = _Streak(states, "unusable_frames")
        self._recipe: str | None = None

    def decided(self, decided: Decided) -> None:
        """Count a part; what waits in no queue is done in the inspecting thread."""
        if decided.views:  # an alert tells of the camera that a person must go to
            unusable = [view for view in decided.views if view.inspection.reason in _UNUSABLE]
            decided = (unusable or [decided])[0]
        inspection, recipe = decided.inspection, decided.model.recipe_sha256
        if inspection.reason in _UNJUDGED:
            return
        if recipe != self._recipe:
            self._recipe = recipe
            self._unlike.begin_anew()
        if inspection.reason in _UNUSABLE:
            self._unusable.add(f"the last frames could not be judged: {inspection.detail}")
            return
        self._unusable.end()
        if looks_unlike(inspection):
            product = decided.model.product_id
            self._unlike.add(
                f"frames do not look like the product {product}: "
                f"{inspection.detail or 'nearly everything on them is anomalous'}; check which "
                "product is on the line, the recipe, the camera's view and the light"
            )
        else:
            self._unlike.end()


def looks_unlike(inspection: Inspection) -> bool:
    """Tell whether a judged frame shows something else than the product."""
    if inspection.reason is Reason.IMAGE_QUALITY:
        return True
    width, height = inspection.size_wh
    covered = sum(region.area_px for region in inspection.regions)
    return inspection.verdict is Verdict.FAIL and covered >= UNLIKE_SHARE * width * height


class _Streak:
    """Counts parts in a row, and raises or clears one alert."""

    def __init__(self, states: StateBoard, code: str):
        self._states = states
        self._code = code
        self._bad = self._good = 0
        self._is_raised = False

    def add(self, detail: str) -> None:
        self._bad, self._good = self._bad + 1, 0
        if self._is_raised or self._bad >= IN_A_ROW:
            self._is_raised = True
            self._states.raise_alert(self._code, "error", detail)

    def end(self) -> None:
        self._bad, self._good = 0, self._good + 1
        if self._is_raised and self._good >= IN_A_ROW:
            self.begin_anew()

    def begin_anew(self) -> None:
        self._bad = self._good = 0
        if self._is_raised:
            self._is_raised = False
            self._states.clear_alert(self._code)
