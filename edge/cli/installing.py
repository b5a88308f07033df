"""What edge-bundle asks of a bundle before a station gets it: the keys, and the golden pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.bundle.signature import Trust, key_id, public_key, read_trust
from edge.bundle.store import Bundle
from edge.config.station import DecisionSettings, EngineSettings, read_station
from edge.engines.load import load_engine, load_types_engine
from edge.inspection.inspector import Inspector


@dataclass(frozen=True, slots=True)
class Demands:
    """Whose signature a bundle needs, and the engine that has to reproduce its verdicts."""

    trust: Trust
    engine: EngineSettings

    def prove(self, bundle: Bundle) -> None:
        """Judge golden pictures of a bundle as a station does before its first part.

        Raises:
            EngineError: the engine does not load, or does not decide as the trained model.
            BundleError: the bundle has no picture that passes, or none that fails.
        """
        with (
            load_engine(bundle, self.engine) as engine,
            load_types_engine(bundle, self.engine) as types_engine,
        ):
            Inspector(bundle, engine, DecisionSettings(), types_engine).self_test()


def read_demands(station: Path | None, keys: Sequence[str]) -> Demands:
    """Take keys and engine from a station file; else the reference engine, and `keys` if any.

    Raises:
        ConfigError: the file or a key is wrong.
    """
    trust, engine = Trust(), EngineSettings()
    if station is not None:
        config = read_station(station)
        trust, engine = read_trust(config.trust), config.engine
    if keys:
        trust = Trust(is_required=True, keys={key_id(key): key for key in map(public_key, keys)})
    return Demands(trust, engine)
