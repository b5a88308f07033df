"""Engines that have passed the parity check on this device.

edge-build-engine gives each a folder of its own, which holds parity.json and, for compiled engines,
the engines with their side files. A station runs no other engines than these and the reference.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from edge.bundle.manifest import ParityRecord
from edge.bundle.values import InsidePath, Sha256
from edge.config.reader import Settings
from edge.engines.cache_trust import REBUILD, access_problem, read_sealed
from edge.errors import EngineLoadError

PARITY: Final = "parity.json"
PARITY_SCHEMA: Final = "edge-infer.device-parity/1"
Role = Literal["detect", "types"]


class EnginePart(Settings):
    """The file of one role: a compiled engine beside the record, or a graph in the bundle."""

    file: InsidePath
    sha256: Sha256


class DeviceParity(Settings):
    """parity.json: how a bundle's graphs on one engine and device compare with the reference.

    Attributes:
        bundle_id: the bundle whose golden set was judged.
        key: SHA-256 of everything that the engines depend on.
        backend, version, precision: as EngineInfo has them.
        device: see EngineInfo and cpu_name.
        note: a deviation from the target, such as attention kept apart.
        engines: files by role.
        score_tolerance: largest difference of a score that the check allowed.
        median_ms: of the detection graph, one frame.
    """

    schema_: Literal["edge-infer.device-parity/1"] = Field(default=PARITY_SCHEMA, alias="schema")
    bundle_id: Sha256
    key: Sha256
    backend: str
    version: str
    precision: Literal["fp32", "bf16", "fp16", "int8"]
    device: str
    note: str = ""
    engines: dict[Role, EnginePart]
    parity: ParityRecord
    score_tolerance: float = Field(gt=0, allow_inf_nan=False)
    median_ms: float = Field(gt=0, allow_inf_nan=False)
    created_at: str


@dataclass(frozen=True, slots=True)
class VerifiedEngines:
    """A parity record and its folder; `problem` says why it is not to be trusted, None if it is."""

    folder: Path
    record: DeviceParity
    problem: str | None = None

    def file(self, role: Role) -> Path:
        """Path of the compiled engine of a role."""
        return self.folder / self.record.engines[role].file

    def check(self, version: str, device: str) -> None:
        """Check that the record passed and is of this device and library.

        Raises:
            EngineLoadError: naming what differs.
        """
        record, path = self.record, self.folder / PARITY
        if not record.parity.passed:
            raise EngineLoadError(f"{path}: the engine did not pass the parity check; {REBUILD}")
        for what, expected, found in (
            ("device", record.device, device),
            (record.backend, record.version, version),
        ):
            if expected != found:
                raise EngineLoadError(
                    f"{path}: parity was checked with {what} {expected}, here is {found}; {REBUILD}"
                )


def find_verified(folder: Path, bundle_id: str) -> list[VerifiedEngines]:
    """Return the records of a bundle, fastest first; unreadable ones are left out.

    Those that others could have made or changed are returned with their `problem`.
    """
    found = []
    outside = access_problem(folder)
    for path in sorted(folder.glob(f"*/{PARITY}")):
        # A build under way, or one that was cut off.
        if path.parent.name.startswith("."):
            continue
        try:
            data, problem = read_sealed(path)
            record = DeviceParity.model_validate_json(data)
        except (OSError, ValidationError):
            continue
        if record.bundle_id == bundle_id:
            problem = outside or access_problem(path.parent) or problem
            found.append(VerifiedEngines(path.parent, record, problem))
    return sorted(found, key=lambda verified: verified.record.median_ms)


def cpu_name() -> str:
    """Name of this machine's processor, as a record of a CPU engine keeps it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
