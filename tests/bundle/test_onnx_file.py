"""An ONNX file that needs other files is refused before a runtime opens it, wherever it says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge.bundle.onnx_file import check_onnx
from edge.bundle.store import open_bundle
from edge.errors import BundleCorrupt
from tests.support.bundles import DEMO_BUNDLE, ROOT, sign


def number(value: int) -> bytes:
    """A number as protobuf writes it: seven bits per byte, lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(*path: int, value: bytes) -> bytes:
    """A field inside the fields that `path` names, outermost first."""
    for one in reversed(path):
        value = number(one << 3 | 2) + number(len(value)) + value
    return value


EXTERNAL = number(14 << 3) + b"\x01"
LOCATED = field(13, value=field(1, value=b"location") + field(2, value=b"/etc/passwd"))
# Places of a tensor in a model, by onnx.proto.
PLACES = {
    "initializer": (7, 5),
    "sparse values": (7, 15, 1),
    "sparse indices": (7, 15, 2),
    "attribute": (7, 1, 5, 5),
    "attribute list": (7, 1, 5, 10),
    "sparse attribute": (7, 1, 5, 22, 1),
    "sparse attribute list": (7, 1, 5, 23, 2),
    "subgraph": (7, 1, 5, 6, 5),
    "subgraph list": (7, 1, 5, 11, 5),
    "subgraph of a subgraph": (7, 1, 5, 6, 1, 5, 6, 5),
    "function": (25, 7, 5, 5),
    "default of a function": (25, 11, 5),
    "training": (20, 1, 5),
    "training step": (20, 2, 1, 5, 5),
}
MODEL = (ROOT / "tests" / "models" / "detect.onnx").read_bytes()


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("tensor", [EXTERNAL, LOCATED], ids=["location", "data"])
def test_values_in_another_file(place: tuple[int, ...], tensor: bytes) -> None:
    # Protobuf merges a second field of a message into the first.
    with pytest.raises(ValueError, match="a tensor names another file"):
        check_onnx(MODEL + field(*place, value=tensor))


def test_a_node_that_loads_an_engine_file() -> None:
    with pytest.raises(ValueError, match="loads an engine file"):
        check_onnx(MODEL + field(7, 1, 4, value=b"EPContext"))


@pytest.mark.parametrize(
    "path",
    [*(ROOT / "tests" / "models").glob("*.onnx"), DEMO_BUNDLE / "models/inpformer.fp32.onnx"],
)
def test_a_whole_model(path: Path) -> None:
    check_onnx(path.read_bytes())


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x00", b"<?xml version='1.0'?><net/>", b"\x08\x08", MODEL[:-1],
        MODEL[: len(MODEL) // 2],
        MODEL + b"\x3a\xff\xff\xff\xff\x7f", MODEL + b"\xff" * 20, MODEL + b"\x0b", MODEL + b"\x0f",
        field(7, value=number(1 << 3) * 1_300_000),
    ],
    ids=["empty", "zero", "xml", "no-graph", "cut", "half", "long", "endless", "group", "kind",
         "many"],
)  # fmt: skip
def test_what_is_no_model(data: bytes) -> None:
    with pytest.raises(ValueError, match="ONNX model"):
        check_onnx(data)


def test_deep_subgraphs_are_no_problem() -> None:
    check_onnx(MODEL + field(*(7, *(1, 5, 6) * 2000), value=b""))


def test_such_a_graph_makes_the_bundle_corrupt(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DEMO_BUNDLE, tmp_path / "bundle"))
    graph = folder / "models" / "inpformer.fp32.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(whole + field(7, 5, value=LOCATED))
    with pytest.raises(BundleCorrupt, match=r"inpformer\.fp32\.onnx: expected all values inside"):
        open_bundle(sign(folder))
    graph.write_bytes(b"")
    with pytest.raises(BundleCorrupt, match="the file is empty"):
        open_bundle(sign(folder))
    graph.write_bytes(whole)
    assert open_bundle(sign(folder)).graph.file == "models/inpformer.fp32.onnx"
