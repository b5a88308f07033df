"""The side file of a TensorRT engine.

It records the graph, the library and the device that the engine was built from, by and for.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError, model_validator

from edge.bundle.manifest import GraphFile
from edge.bundle.store import sha256
from edge.bundle.values import Sha256
from edge.config.reader import Settings
from edge.engines.cache_trust import REBUILD
from edge.engines.cuda.gpu import Gpu
from edge.errors import EngineLoadError

ENGINE_SCHEMA: Final = "edge-infer.engine/1"
Product = Literal["tensorrt", "tensorrt_rtx"]
PRODUCTS: Final[dict[Product, str]] = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}


class BuildOptions(Settings):
    """Options of the builder. Precision is not among them: the graph's types set it.

    Attributes:
        workspace_bytes: GPU memory that kernels may use while they run.
        optimization_level: 0 (quick build) to 5 (quick engine).
        attention: `apart` keeps the builder from fusing attention into one kernel.
        compute_capabilities: to build for without a GPU (TensorRT for RTX); empty: this device.
    """

    workspace_bytes: int = Field(default=2**30, ge=0)
    optimization_level: int = Field(default=3, ge=0, le=5)
    attention: Literal["fused", "apart"] = "fused"
    compute_capabilities: tuple[str, ...] = ()


class EngineFile(Settings):
    """Contents of `<engine>.json`.

    Attributes:
        graph: tensors of the ONNX file that was compiled, and its precision.
        graph_sha256: hash of that file.
        product, version: the library that built the engine; no other version runs it.
        gpu: the device it was built on; None when it was built without one.
        key: changes with everything an engine depends on, see engine_key.
    """

    schema_: Literal["edge-infer.engine/1"] = Field(default=ENGINE_SCHEMA, alias="schema")
    key: Sha256
    graph: GraphFile
    graph_sha256: Sha256
    product: Product
    version: str
    gpu: Gpu | None
    options: BuildOptions
    engine_sha256: Sha256
    engine_bytes: int
    build_seconds: float
    created_at: str
    created_by: str

    @model_validator(mode="after")
    def _key_fits(self) -> EngineFile:
        found = engine_key(
            self.graph_sha256, self.graph, self.product, self.version, self.gpu, self.options
        )
        if self.key != found:
            raise ValueError("the key does not fit the other fields, the side file was altered")
        return self


def engine_key(
    graph_sha256: str,
    graph: GraphFile,
    product: Product,
    version: str,
    gpu: Gpu | None,
    options: BuildOptions,
) -> str:
    """Return the SHA-256 of everything an engine depends on; we use no plug-ins."""
    parts = {
        "graph": graph_sha256,
        "precision": graph.precision,
        "shapes": [list(spec.shape) for spec in (*graph.inputs, *graph.outputs)],
        "library": f"{product} {version}",
        "gpu": gpu.model_dump(mode="json") if gpu else None,
        "options": options.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def side_path(engine: Path) -> Path:
    """Path of an engine's side file."""
    return engine.with_name(f"{engine.name}.json")


def read_engine_file(engine: Path) -> EngineFile:
    """Read an engine's side file.

    Raises:
        EngineLoadError: engine or side file are missing, or the side file is unreadable.
    """
    if not engine.is_file():
        raise EngineLoadError(f"{engine}: no such engine; {REBUILD}")
    path = side_path(engine)
    try:
        return EngineFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise EngineLoadError(f"{engine}: side file {path.name} is missing; {REBUILD}") from None
    except OSError as error:
        raise EngineLoadError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        what = first["msg"].removeprefix("Value error, ")
        raise EngineLoadError(f"{path}: {where}: {what}; {REBUILD}") from None


def check_engine(engine: Path, side: EngineFile, product: Product, version: str, gpu: Gpu) -> None:
    """Check that an engine is whole and was built by this library for this device.

    The driver, clocks and multiprocessors are part of the key, for the builder. An engine runs even
    if they differ.

    Raises:
        EngineLoadError: naming what was expected, what was found and what to do.
    """
    if (side.product, side.version) != (product, version):
        raise EngineLoadError(
            f"{engine}: built by {PRODUCTS[side.product]} {side.version}, this device has "
            f"{PRODUCTS[product]} {version}; {REBUILD}"
        )
    _check_device(engine, side, gpu)
    size = engine.stat().st_size
    if size != side.engine_bytes:
        raise EngineLoadError(
            f"{engine}: expected {side.engine_bytes} bytes by its side file, found {size}; "
            f"the file is cut off or was exchanged; {REBUILD}"
        )
    if sha256(engine) != side.engine_sha256:
        raise EngineLoadError(f"{engine}: altered since it was built; {REBUILD}")


def _check_device(engine: Path, side: EngineFile, gpu: Gpu) -> None:
    built = side.options.compute_capabilities or (
        (side.gpu.compute_capability,) if side.gpu else ()
    )
    if built and gpu.compute_capability not in built:
        raise EngineLoadError(
            f"{engine}: built for compute capability {' and '.join(built)}, this device has "
            f"{gpu.compute_capability} ({gpu.name}); {REBUILD}"
        )
    if side.gpu is None:
        return
    for what, expected, found in (
        ("GPU", side.gpu.name, gpu.name),
        ("Jetson Linux", side.gpu.l4t, gpu.l4t),
    ):
        if expected != found:
            raise EngineLoadError(
                f"{engine}: built for {what} {expected or 'none'}, this device has "
                f"{found or 'none'}; {REBUILD}"
            )
