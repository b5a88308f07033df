"""Target profiles: the engine to build for a kind of device, and the device's requirements."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from edge.config.reader import Settings, read_settings
from edge.config.values import ByteSize
from edge.engines.cuda.gpu import Gpu
from edge.engines.tensorrt.engine_file import BuildOptions
from edge.errors import ConfigError, EngineBuildError
from edge.toolchain.engine_build.profile_folder import profile_folder, target_names

Precision = Literal["fp32", "bf16", "fp16", "int8"]
Backend = Literal[
    "tensorrt",
    "tensorrt_rtx",
    "onnxruntime",
    "onnxruntime_cuda",
    "onnxruntime_tensorrt",
    "openvino",
]
Release = Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")]


class Releases(Settings):
    """Releases of TensorRT that the profile was written for: from `since` to before `below`."""

    since: Release
    below: Release

    def holds(self, version: str) -> bool:
        """Return whether a release is one of them."""
        return _parts(self.since) <= _parts(version) < _parts(self.below)


class Memory(Settings):
    """Memory limits of build and inference.

    Attributes:
        workspace: GPU memory that kernels may use while they run.
        build: resident memory of the process that builds; it is stopped above. On a Jetson CPU and
            GPU share it with everything else.
    """

    workspace: ByteSize
    build: ByteSize


class TargetProfile(Settings):
    """Contents of build/targets/<name>.yaml.

    Attributes:
        title: name of the device.
        backend: runtime of the engine.
        precision: of the graph's tensors; no builder flag sets it. In bf16 OpenVINO computes the
            FP32 graph.
        batch: frames per run, as the bundle's graphs have it.
        tensorrt: accepted releases; None for other backends.
        compute_capabilities: accepted GPUs; empty: any.
        memory: limits; None for other backends.
        optimization_level: how long TensorRT searches for kernels, 0 to 5.
    """

    title: str
    backend: Backend
    precision: Precision
    batch: int = Field(default=1, ge=1)
    tensorrt: Releases | None = None
    compute_capabilities: tuple[Release, ...] = ()
    memory: Memory | None = None
    optimization_level: int = Field(default=3, ge=0, le=5)

    def options(self, attention: Literal["fused", "apart"]) -> BuildOptions:
        """Return the options of the builder."""
        workspace = self.memory.workspace if self.memory else BuildOptions().workspace_bytes
        return BuildOptions(
            workspace_bytes=workspace,
            optimization_level=self.optimization_level,
            attention=attention,
        )

    def check(self, name: str, version: str, gpu: Gpu) -> None:
        """Check that this device is of the profile's kind.

        Raises:
            EngineBuildError: naming what was expected and what was found.
        """
        if self.tensorrt is not None and not self.tensorrt.holds(version):
            raise EngineBuildError(
                f"target {name}: expected {self.backend} {self.tensorrt.since} or newer, below "
                f"{self.tensorrt.below}, found {version}; choose another target"
            )
        accepted = self.compute_capabilities
        if accepted and gpu.compute_capability not in accepted:
            raise EngineBuildError(
                f"target {name}: expected compute capability {' or '.join(accepted)}, this device "
                f"has {gpu.compute_capability} ({gpu.name}); choose another target"
            )


def read_target(name: str, folder: Path | None = None) -> TargetProfile:
    """Read a target profile.

    Args:
        name: of a profile, or the path of a file that ends in .yaml.
        folder: of the profiles; None means those of the package.

    Raises:
        ConfigError: there is no such profile, or it is wrong.
    """
    if name.endswith(".yaml"):
        path = Path(name)
        if not path.is_file():
            raise ConfigError(f"--target {name}: no such file; give the path of a target profile")
        return read_settings(path, TargetProfile)
    folder = folder or profile_folder()
    known = target_names(folder)
    if name not in known:
        asked = name.lower()
        close = [one for one in known if asked in one] or get_close_matches(asked, known)
        raise ConfigError(
            f"--target {name}: no such target; {'the nearest are' if close else 'choose one of'} "
            f"{', '.join(close or known)}, or give the path of a .yaml file"
        )
    return read_settings(folder / f"{name}.yaml", TargetProfile)


def _parts(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".") if part.isdigit())
