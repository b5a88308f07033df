"""The ladder of ways to run a bundle, best first; each holds only if it passes the parity check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.toolchain.engine_build.target_profile import Backend, Precision, TargetProfile


@dataclass(frozen=True, slots=True)
class EngineVariant:
    """One way to run a bundle."""

    backend: Backend
    precision: Precision
    attention: Literal["fused", "apart"] = "fused"

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}{f', {self.note}' if self.note else ''}"

    @property
    def note(self) -> str:
        """What is special about it; empty if nothing is."""
        return "attention apart" if self.attention == "apart" else ""


REFERENCE = EngineVariant("onnxruntime", "fp32")


def variants(target: TargetProfile, *, fallback: bool) -> tuple[EngineVariant, ...]:
    """List what to try, best first; without `fallback` only what the target asks for."""
    first = EngineVariant(target.backend, target.precision)
    if not fallback:
        return (first,)
    ladder = [first]
    if target.backend in ("tensorrt", "tensorrt_rtx"):
        if target.precision == "int8":
            ladder.append(EngineVariant(target.backend, "fp16"))
        if target.precision != "fp32":
            ladder.append(EngineVariant(target.backend, "fp16", attention="apart"))
            ladder.append(EngineVariant(target.backend, "fp32"))
    elif target.backend != REFERENCE.backend:
        ladder.append(EngineVariant(target.backend, "fp32"))
    return tuple(dict.fromkeys((*ladder, REFERENCE)))
