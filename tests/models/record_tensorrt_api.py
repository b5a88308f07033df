"""Record what releases of TensorRT offer, from their real Python bindings, without a GPU.

    pip download --no-deps tensorrt-cu12-bindings==10.3.0 -d wheels      # about 1 MB each
    python -m tests.models.record_tensorrt_api wheels/*.whl

The bindings load without TensorRT's libraries of some gigabytes if others of the same names define
the few functions that they are linked against; nothing of them is called here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RECORD = Path(__file__).with_name("tensorrt_api.json")
LIBRARIES = ("nvinfer", "nvonnxparser", "nvinfer_plugin")
FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "getBuilderPluginRegistry",
    "initLibNvInferPlugins",
)
PRINT = """
import json
import tensorrt_bindings as trt
from tests.support.gpu_api import offered
print(json.dumps([trt.__version__, offered(trt)]))
"""


def record(wheel: Path, scratch: Path) -> tuple[str, dict]:
    """Return the release of a wheel and what it offers."""
    folder = scratch / wheel.stem
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    major = wheel.stem.split("-")[1].split(".")[0]
    source = scratch / "empty.c"
    source.write_text("\n".join(f"void *{name}(void) {{ return 0; }}" for name in FUNCTIONS))
    for library in LIBRARIES:
        target = f"lib{library}.so.{major}"
        command = ["cc", "-shared", "-fPIC", str(source), "-o", str(folder / target)]
        subprocess.run([*command, f"-Wl,-soname,{target}"], check=True)
    paths = {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", PRINT],
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        check=True,
    )
    version, offered = json.loads(done.stdout)
    return version, offered


def main() -> None:
    """Entry point."""
    with tempfile.TemporaryDirectory() as scratch:
        found = dict(record(Path(wheel), Path(scratch)) for wheel in sys.argv[1:])
    ordered = sorted(found, key=lambda version: [int(part) for part in version.split(".")])
    lines = [f'"{version}": {json.dumps(found[version], sort_keys=True)}' for version in ordered]
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
