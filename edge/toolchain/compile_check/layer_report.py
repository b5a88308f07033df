"""Read the builder's report of an engine, which has one line per layer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

HEADING = "Layers:"
_ROW = re.compile(
    r"^Name: (?P<name>.+?), LayerType: (?P<kind>\w+), Inputs: (?P<inputs>.*?), Constants: "
    r".*?, TacticName: .*?Metadata:(?P<sources>.*)$"
)
_TYPE = re.compile(r"Datatype: (\w+)")
_SOURCE = re.compile(r"\[ONNX Layer: ([^\]]+)\]")
# Kinds that only synchronise the others.
_BOOKKEEPING = frozenset({"signal", "wait"})


@dataclass(frozen=True, slots=True)
class EngineLayer:
    """One layer of a built engine.

    Attributes:
        name: the builder's, such as `_gemm_mha_v2_myl0_7`.
        kind: such as gemm, correlation (a convolution), kgen (generated), runtime_fusion.
        input_types: of the tensors it reads, as Float, Half, Int8; empty if it reads constants
            alone.
        sources: names of the ONNX nodes that it computes.
    """

    name: str
    kind: str
    input_types: frozenset[str]
    sources: frozenset[str]

    @property
    def is_fused_attention(self) -> bool:
        """Return whether it is a whole attention: both products and the softmax between them."""
        return "_mha_" in self.name

    @property
    def is_product(self) -> bool:
        """Return whether it is a convolution or a matrix product, fused with others or not."""
        return self.kind in {"gemm", "correlation"} or "_Fc" in self.name


def read_report(messages: Iterable[str]) -> tuple[EngineLayer, ...]:
    """Find the report among a builder's messages.

    Raises:
        ValueError: there is none, or a line of it cannot be parsed.
    """
    report = next((text for text in messages if text.startswith(HEADING)), None)
    if report is None:
        raise ValueError("expected a message that begins with Layers:, the builder gave none")
    rows = [row for row in report.splitlines() if row.startswith("Name: ")]
    layers = [_layer(row) for row in rows]
    return tuple(layer for layer in layers if layer.kind not in _BOOKKEEPING)


def _layer(row: str) -> EngineLayer:
    found = _ROW.match(row)
    if found is None:
        raise ValueError(f"cannot be parsed in the layer report: {row[:120]}")
    return EngineLayer(
        name=found["name"],
        kind=found["kind"],
        input_types=frozenset(_TYPE.findall(found["inputs"])),
        sources=frozenset(_SOURCE.findall(found["sources"])),
    )
