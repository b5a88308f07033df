"""Frame -> Inspection. Everything between pixels and verdict meets here; no I/O."""

from __future__ import annotations

from datetime import datetime, timezone
from time import monotonic_ns, perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.bundle.store import Bundle
from edge.config.station import DecisionSettings
from edge.engines.protocol import Engine
from edge.errors import EngineError, EngineLoadError, InferenceError
from edge.frame import Frame
from edge.pipeline.decision import decide
from edge.pipeline.scorer import FrameScorer, Scored
from edge.result import Inspection, Reason, Region, StageTimes, Verdict
from edge.vision.regions import find_regions, type_maps, whole_frame


class Inspected(NamedTuple):
    """An inspection and the map it rests on; the map is overwritten by the next frame."""

    inspection: Inspection
    map: NDArray[np.float32] | None


class Inspector:
    """Judges frames with one bundle on one engine."""

    def __init__(self, bundle: Bundle, engine: Engine, settings: DecisionSettings):
        self._bundle = bundle
        self._settings = settings
        self._scorer = FrameScorer(engine, bundle.recipe, bundle.graph)
        self.failures_in_a_row = 0

    def self_test(self) -> None:
        """Judge the first golden picture: warms the engine up and proves that it still decides.

        Raises:
            EngineLoadError: score or verdict differ from the trained model's.
        """
        golden = self._bundle.golden()
        image = golden.images[0]
        score = self._scorer.score(self._bundle.golden_pixels(image)).score
        verdict = "fail" if score > self._bundle.thresholds.score.value else "pass"
        if abs(score - image.score) > golden.score_tolerance or verdict != image.verdict:
            raise EngineLoadError(
                f"golden picture {image.file}: expected score {image.score:.4f} ({image.verdict}), "
                f"the engine says {score:.4f} ({verdict}); rebuild the bundle with edge-build"
            )

    def inspect(self, frame: Frame) -> Inspected:
        """Judge one frame; failures become `error` results.

        Raises:
            EngineError: too many failed inferences in a row.
        """
        waiting_ms = (monotonic_ns() - frame.captured_ns) / 1e6
        if frame.pixels_bgr is None:
            return Inspected(
                without_score(frame, Verdict.ERROR, Reason.CAMERA_ERROR, frame.fault or ""), None
            )
        try:
            scored = self._scorer.score(frame.pixels_bgr)
        except InferenceError as error:
            self.failures_in_a_row += 1
            if self.failures_in_a_row >= self._settings.max_engine_failures:
                raise EngineError(
                    f"{self.failures_in_a_row} inferences failed in a row, last: {error}"
                ) from error
            return Inspected(
                without_score(frame, Verdict.ERROR, Reason.ENGINE_ERROR, str(error)), None
            )
        self.failures_in_a_row = 0
        return Inspected(self._conclude(frame, scored, waiting_ms), scored.map)

    def _conclude(self, frame: Frame, scored: Scored, waiting_ms: float) -> Inspection:
        start = perf_counter()
        bundle = self._bundle
        decision = decide(bundle, scored.score, scored.quality_problem, self._settings.undecided_p)
        threshold, mm_per_px = bundle.thresholds.score.value, bundle.recipe.mm_per_px
        regions: tuple[Region, ...] = ()
        if decision.verdict is Verdict.FAIL:
            types = None
            if scored.type_logits is not None:
                map_wh = (scored.map.shape[1], scored.map.shape[0])
                types = type_maps(scored.type_logits, bundle.recipe.defect_types, map_wh)
            regions = find_regions(scored.map, threshold, frame.size_wh, mm_per_px, types)
            # No pixel stands out: what is unusual is the picture as a whole.
            regions = regions or (whole_frame(scored.map, frame.size_wh, mm_per_px),)
        return Inspection(
            verdict=decision.verdict,
            reason=decision.reason,
            detail=decision.detail,
            camera=frame.camera,
            frame_id=frame.frame_id,
            captured_at=frame.captured_at,
            ended_at=datetime.now(timezone.utc),
            size_wh=frame.size_wh,
            times=StageTimes(
                waiting_ms=waiting_ms,
                preprocess_ms=scored.preprocess_ms,
                infer_ms=scored.infer_ms,
                postprocess_ms=(perf_counter() - start) * 1e3,
            ),
            score=scored.score,
            threshold=threshold,
            p_value=decision.p_value,
            regions=regions,
            mm_per_px=mm_per_px,
            part=frame.part,
            is_simulated=frame.is_simulated,
        )


def without_score(frame: Frame, verdict: Verdict, reason: Reason, detail: str) -> Inspection:
    """Build the record of a part that could not be judged, so that it still has one."""
    return Inspection(
        verdict=verdict,
        reason=reason,
        detail=detail,
        camera=frame.camera,
        frame_id=frame.frame_id,
        captured_at=frame.captured_at,
        ended_at=datetime.now(timezone.utc),
        size_wh=frame.size_wh,
        times=StageTimes(waiting_ms=(monotonic_ns() - frame.captured_ns) / 1e6),
        part=frame.part,
        is_simulated=frame.is_simulated,
    )
