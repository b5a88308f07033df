"""What a station refuses in an OpenVINO IR before the runtime opens it.

An IR is an XML file of layers and a file of their values, which is listed and hashed as any other.
OpenVINO checks that each value lies inside that file. The XML is read here down to every layer: one
that is not of OpenVINO's own operator sets would ask for a library to be loaded.
"""

from __future__ import annotations

import re
from typing import Final
from xml.parsers import expat

IR: Final = ".xml"
MAX_XML_BYTES: Final = 64 * 2**20
# A graph of ten thousand layers has some hundred thousand elements; bodies of loops lie inside.
MAX_ELEMENTS: Final = 2_000_000
MAX_DEPTH: Final = 64
_OWN_OPERATORS: Final = re.compile(r"opset[0-9]{1,3}")


def values_beside(file: str) -> str:
    """File of the values of an IR: the same name with .bin, where OpenVINO looks for it."""
    return file.removesuffix(IR) + ".bin"


def check_ir(data: bytes) -> None:
    """Check that a file is the XML of an OpenVINO IR with OpenVINO's own operators alone.

    Raises:
        ValueError: in one line, for a file that is no such XML.
    """
    if len(data) > MAX_XML_BYTES:
        raise ValueError(f"expected an OpenVINO IR of at most {MAX_XML_BYTES} bytes of XML")
    layers = _Layers()
    parser = expat.ParserCreate()
    parser.StartElementHandler = layers.start
    parser.EndElementHandler = layers.end
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(f"expected the XML of an OpenVINO IR: {error}") from None
    if layers.count == 0:
        raise ValueError("expected the XML of an OpenVINO IR, found no layers")


class _Layers:
    """Sees every element; `count` are the layers."""

    def __init__(self) -> None:
        self.count, self._elements, self._depth = 0, 0, 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and name != "net":
            raise ValueError(f"expected the XML of an OpenVINO IR, found <{name[:40]}>")
        self._elements += 1
        self._depth += 1
        if self._elements > MAX_ELEMENTS or self._depth > MAX_DEPTH:
            raise ValueError(
                f"expected an OpenVINO IR of at most {MAX_ELEMENTS} elements, {MAX_DEPTH} deep"
            )
        if name == "layer":
            self.count += 1
            _check_operator(attributes)

    def end(self, _name: str) -> None:
        self._depth -= 1


def _check_operator(attributes: dict[str, str]) -> None:
    operators = attributes.get("version", "")
    if not _OWN_OPERATORS.fullmatch(operators):
        kind = attributes.get("type", "")[:40]
        raise ValueError(
            f"expected layers of OpenVINO's own operator sets, found {kind!r} of "
            f"{operators[:40]!r}, which needs an extension"
        )


def _refuse_doctype(*_found: object) -> None:
    raise ValueError("expected the XML of an OpenVINO IR, found a document type declaration")
