"""Inspects samples of a data set as the line inspects frames."""

from __future__ import annotations

from edge.bundle.store import Bundle
from edge.cameras.source import frame_now
from edge.config.station import DecisionSettings
from edge.data.image_set import Sample, read_pixels
from edge.engines.protocol import Engine
from edge.inspection.inspector import Inspected, Inspector
from edge.inspection.type_shares import TypeShares


class SetInspector:
    """Called with a sample, it returns what the line would say of it; arguments as Inspector's."""

    def __init__(self, bundle: Bundle, engine: Engine, types_engine: Engine | None = None):
        settings = DecisionSettings(max_engine_failures=1)
        self._inspector = Inspector(bundle, engine, settings, types_engine)

    @property
    def type_shares(self) -> TypeShares | None:
        """Of the last sample; None where the line did not ask for types."""
        return self._inspector.type_shares

    def __call__(self, sample: Sample) -> Inspected:
        """Inspect a sample; the map is overwritten by the next one.

        Raises:
            EngineError: an inference fails, where a line would go on.
            DataError: the picture is unreadable.
        """
        return self._inspector.inspect(frame_now("test", 0, read_pixels(sample.path)))
