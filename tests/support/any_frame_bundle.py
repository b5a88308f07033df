"""The demo's bundle as one from before limits of frames: tests make frames of their own for it."""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGED_BUNDLE = ROOT / "demo" / "bundle"
FRAMES = "calibration/frames.json"


def make_any_frame_bundle(folder: Path) -> Path:
    """Copy the packaged bundle without the size, colour and limits of its frames."""
    shutil.copytree(PACKAGED_BUNDLE, folder)
    (folder / FRAMES).unlink(missing_ok=True)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe.pop("frames", None)
    recipe["frame_quality"] = {"mean": [0.0, 255.0], "std": [62.0, 160.25]}
    text = yaml.safe_dump(recipe, sort_keys=False, default_flow_style=None)
    (folder / "recipe.yaml").write_text(text)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["files"].pop(FRAMES, None)
    manifest["files"]["recipe.yaml"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(manifest))
    return folder


def _for_this_process() -> Path:
    scratch = Path(tempfile.mkdtemp(prefix="edge-demo-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return make_any_frame_bundle(scratch / "bundle")


ANY_FRAME_BUNDLE = _for_this_process()
