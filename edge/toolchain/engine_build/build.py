"""Build the engines of a bundle for a target profile and verify them on this device.

The engines of before stay until the new ones have passed. New ones that fail leave nothing behind.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edge.bundle.store import Bundle, open_bundle, sha256
from edge.engines.cache_trust import access_problem, close_to_others, make_seal, seal_path
from edge.engines.verified import (
    PARITY,
    DeviceParity,
    EnginePart,
    Role,
    VerifiedEngines,
    cpu_name,
    find_verified,
)
from edge.errors import EngineBuildError, EngineError, ToolchainError
from edge.toolchain.engine_build.backends import EngineBackend, OnnxRuntimeBackend
from edge.toolchain.engine_build.device_parity import (
    check_parity,
    median_ms,
    reference_outcomes,
    score_tolerance,
)
from edge.toolchain.engine_build.disk import SPARE_BYTES, check_disk, write_whole
from edge.toolchain.engine_build.source_graphs import Source
from edge.toolchain.engine_build.target_profile import TargetProfile
from edge.toolchain.engine_build.variants import REFERENCE, EngineVariant, variants
from edge.toolchain.parity import Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Built:
    """The engines that a station runs from now on.

    Attributes:
        verified: record and folder.
        is_new: False if engines of the same key had passed before.
        refused: variants tried before these, each with the reason why it was not taken.
    """

    verified: VerifiedEngines
    is_new: bool
    refused: tuple[str, ...]

    def __str__(self) -> str:
        record = self.verified.record
        note = f" ({record.note})" if record.note else ""
        state = "passed parity" if self.is_new else "had passed parity before"
        return (
            f"{self.verified.folder}: {record.backend} {record.version} {record.precision}{note} "
            f"on {record.device} {state}, {record.median_ms:.2f} ms a frame"
        )

    def as_json(self) -> str:
        """Return folder, record, and what was refused, as one JSON object."""
        record = self.verified.record.model_dump(mode="json", by_alias=True)
        folder = str(self.verified.folder)
        return json.dumps(
            {"folder": folder, "is_new": self.is_new, "refused": self.refused, **record}
        )


def build_engines(
    bundle: Path,
    target: TargetProfile,
    backend: EngineBackend,
    out: Path,
    *,
    fallback: bool = False,
    force: bool = False,
) -> Built:
    """Build a bundle's engines for this device, verify them and put them where stations look.

    Args:
        bundle: folder.
        target: its profile.
        backend: its backend on this device, see find_backend.
        out: folder of engines; made if it is absent.
        fallback: when an engine cannot be built or does not pass, try the next one of `variants`.
        force: build although engines of the same key have passed.

    Raises:
        BundleError: the bundle cannot be used.
        EngineError: the engine does not run here.
        ToolchainError: it cannot be built, or does not decide as the reference.
    """
    opened = open_bundle(bundle)
    _check_format(opened)
    _check_batch(opened, target)
    _prepare(out, opened)
    build = _Build(opened, out, reference_outcomes(opened), force)
    refused: list[str] = []
    order = variants(target, fallback=fallback)
    for variant in order:
        outcome = build.attempt(variant, OnnxRuntimeBackend() if variant == REFERENCE else backend)
        if isinstance(outcome, tuple):
            return Built(*outcome, tuple(refused))
        if variant == order[-1]:
            raise outcome
        refused.append(f"{variant}: {outcome}")
        log.warning("engine not taken engine=%s reason=%s", variant, outcome)
    raise AssertionError("the order has a last variant")


@dataclass(frozen=True, slots=True)
class _Build:
    """Inputs that all variants share."""

    bundle: Bundle
    out: Path
    reference: Sequence[Outcome]
    force: bool

    def attempt(
        self, variant: EngineVariant, backend: EngineBackend
    ) -> tuple[VerifiedEngines, bool] | EngineError | ToolchainError:
        """Build one variant, or return the error."""
        try:
            return self.build(variant, backend)
        except (EngineError, ToolchainError) as error:
            return error

    def build(self, variant: EngineVariant, backend: EngineBackend) -> tuple[VerifiedEngines, bool]:
        """Build one variant's engines, verify and place them; also return whether they are new."""
        graphs = [g for g in (self.bundle.graph, self.bundle.types_graph) if g is not None]
        with tempfile.TemporaryDirectory(dir=self.out, prefix=".build-") as scratch:
            sources = [backend.source(self.bundle, g, variant, Path(scratch)) for g in graphs]
            keys = " ".join([str(variant), *(backend.key(source, variant) for source in sources)])
            key = hashlib.sha256(keys.encode()).hexdigest()
            known = None if self.force else self._find(key)
            if known is not None:
                return known, False
            folder = Path(scratch) / "engines"
            folder.mkdir()
            parts = {s.graph.role: backend.make(s, variant, folder) for s in sources}
            record = self._verify(variant, backend, key, sources, parts, folder)
            text = record.model_dump_json(indent=2, by_alias=True) + "\n"
            write_whole(folder / PARITY, text.encode())
            write_whole(seal_path(folder / PARITY), make_seal(text.encode()))
            close_to_others(folder)
            return VerifiedEngines(self._place(folder, record), record), True

    def _verify(
        self,
        variant: EngineVariant,
        backend: EngineBackend,
        key: str,
        sources: Sequence[Source],
        parts: dict[Role, EnginePart],
        folder: Path,
    ) -> DeviceParity:
        with ExitStack() as stack:
            engines = [
                stack.enter_context(backend.load(source, variant, parts[source.graph.role], folder))
                for source in sources
            ]
            engine, types_engine = engines[0], engines[1] if len(engines) > 1 else None
            parity = check_parity(self.bundle, engine, types_engine, self.reference)
            info = engine.info
            return DeviceParity(
                bundle_id=self.bundle.id,
                key=key,
                backend=info.backend,
                version=info.version,
                precision=variant.precision,
                device=cpu_name() if info.device == "CPU" else info.device,
                note=variant.note,
                engines=parts,
                parity=parity,
                score_tolerance=score_tolerance(self.bundle, info.precision),
                median_ms=median_ms(self.bundle, engine),
                created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            )

    def _find(self, key: str) -> VerifiedEngines | None:
        """Return engines of the same key that have passed and are whole."""
        for verified in find_verified(self.out, self.bundle.id):
            record = verified.record
            is_ours = verified.problem is None and record.parity.passed
            if record.key == key and is_ours and self._is_whole(verified):
                return verified
        return None

    def _is_whole(self, verified: VerifiedEngines) -> bool:
        """Compiled engines are as they were; graphs of the bundle were verified with it."""
        files = self.bundle.manifest.files
        compiled = {r: p for r, p in verified.record.engines.items() if p.file not in files}
        return all(
            verified.file(role).is_file() and sha256(verified.file(role)) == part.sha256
            for role, part in compiled.items()
        )

    def _place(self, folder: Path, record: DeviceParity) -> Path:
        """Move engines to where stations look, then remove those they supersede."""
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", self.bundle.manifest.name)
        stem = f"{name}-{record.backend}-{record.precision}-{record.key[:12]}"
        place, number = self.out / stem, 1
        while place.exists():
            place, number = self.out / f"{stem}-{number}", number + 1
        before = find_verified(self.out, self.bundle.id)
        folder.replace(place)
        for old in before:
            if _kind(old.record) == _kind(record):
                shutil.rmtree(old.folder, ignore_errors=True)
        return place


def _kind(record: DeviceParity) -> tuple[str, str, str]:
    """A device keeps one set of engines of each kind."""
    return record.backend, record.precision, record.device


def _prepare(out: Path, bundle: Bundle) -> None:
    """Make the folder, and check that it is writable and has room."""
    try:
        if not out.exists():
            out.mkdir(parents=True)
            close_to_others(out)
        with tempfile.TemporaryDirectory(dir=out, prefix=".build-"):
            pass
    except OSError as error:
        raise EngineBuildError(
            f"--out {out}: cannot be written: {error.strerror}; choose another folder"
        ) from error
    if (problem := access_problem(out)) is not None:
        raise EngineBuildError(f"--out {problem}")
    graphs = [bundle.path(graph.file).stat().st_size for graph in bundle.manifest.graphs]
    check_disk(out, 2 * sum(graphs) + SPARE_BYTES)


def _check_format(bundle: Bundle) -> None:
    if bundle.graph.format != "onnx":
        raise EngineBuildError(
            f"bundle {bundle.folder}: expected ONNX graphs, found an OpenVINO IR, which OpenVINO "
            "runs as it is; there is nothing to build: leave engine.backend out"
        )


def _check_batch(bundle: Bundle, target: TargetProfile) -> None:
    found = bundle.graph.inputs[0].shape[0]
    if found != target.batch:
        raise EngineBuildError(
            f"bundle {bundle.folder}: expected a batch of {target.batch} by the target, its graphs "
            f"take {found}; export them for it, or change batch in the target profile"
        )
