"""Engine variants of a target, in the order in which they are tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.toolchain.engine_build.target_profile import Backend, Precision, TargetProfile


@dataclass(frozen=True, slots=True)
class EngineVariant:
    """A backend in a precision."""

    backend: Backend
    precision: Precision
    attention: Literal["fused", "apart"] = "fused"

    def __str__(self) -> str:
        return f"{self.backend} {self.precision}{f', {self.note}' if self.note else ''}"

    @property
    def note(self) -> str:
        """Deviation from the plain variant; empty if there is none."""
        return "attention apart" if self.attention == "apart" else ""


REFERENCE = EngineVariant("onnxruntime", "fp32")


def variants(target: TargetProfile, *, fallback: bool) -> tuple[EngineVariant, ...]:
    """Return the fallback order, best variant first; without `fallback` only the target's own."""
    first = EngineVariant(target.backend, target.precision)
    if not fallback:
        return (first,)
    order = [first]
    if target.backend in ("tensorrt", "tensorrt_rtx"):
        if target.precision == "int8":
            order.append(EngineVariant(target.backend, "fp16"))
        if target.precision != "fp32":
            order.append(EngineVariant(target.backend, "fp16", attention="apart"))
            order.append(EngineVariant(target.backend, "fp32"))
    elif target.backend != REFERENCE.backend:
        order.append(EngineVariant(target.backend, "fp32"))
    return tuple(dict.fromkeys((*order, REFERENCE)))
