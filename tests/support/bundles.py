"""Bundles for tests: copies of the demo's that judge otherwise, with hashes that fit again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from edge.bundle.conformal import bound_of_parts
from edge.bundle.joint_conformal import joint_ranks
from edge.picture_file import encode_picture
from edge.toolchain.packing.thresholds import fit_threshold
from tests.support.any_frame_bundle import ANY_FRAME_BUNDLE

ROOT = Path(__file__).resolve().parents[2]
# Tests make frames of their own: the demo's bundle takes any here.
DEMO_BUNDLE = ANY_FRAME_BUNDLE
# The demo's picture with the clearest defect, and what its graph says of it.
CLEAREST = ROOT / "demo" / "images" / "spur" / "92000018_x346_y041.png"
CLEAREST_SCORE = 1.7840511798858643


def sign(folder: Path) -> Path:
    """Make altered files look intended."""
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text())
    for file in folder.rglob("*"):
        if file.is_file() and file.name not in ("bundle.json", "signature.json"):
            name = file.relative_to(folder).as_posix()
            manifest["files"][name] = hashlib.sha256(file.read_bytes()).hexdigest()
    path.write_text(json.dumps(manifest))
    return folder


def edit_json(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def make_bundle(
    folder: Path, name: str, version: str = "2", threshold: float | None = None
) -> Path:
    """Copy the demo's bundle under another name, optionally with another threshold.

    The golden verdicts are made to agree: only those between the thresholds differ. The threshold
    is below CLEAREST_SCORE, so that one golden picture fails.
    """
    target = folder / name
    shutil.copytree(DEMO_BUNDLE, target)
    edit_json(target / "bundle.json", name=name, version=version)
    recipe = (target / "recipe.yaml").read_text()
    (target / "recipe.yaml").write_text(recipe.replace("product: pcb_traces", f"product: {name}"))
    if threshold is not None:
        set_threshold(target, threshold)
    return sign(target)


def make_bundle_for(folder: Path, name: str, thresholds: dict[str, float]) -> Path:
    """Copy the demo's bundle as one that serves several products by thresholds of their own."""
    target = folder / name
    shutil.copytree(DEMO_BUNDLE, target)
    edit_json(target / "bundle.json", name=name)
    products = {}
    for product, threshold in thresholds.items():
        file = f"calibration/{product}.json"
        scores = _scores_below(target, threshold)[-24:]
        (target / file).write_text(json.dumps({"scores": scores}))
        score = fit_threshold(scores, [str(index // 2) for index in range(24)])
        products[product] = {"score": score.model_dump(), "scores_file": file}
    edit_json(target / "thresholds.json", products=products)
    _add_clearest(target, max(thresholds.values()))
    return sign(target)


def with_views(folder: Path, scores: Mapping[str, Sequence[float]], alpha: float = 0.1) -> Path:
    """Give a bundle thresholds of views; `scores` are those of the same parts in each."""
    orders = {name: [int(part) for part in np.argsort(own)] for name, own in scores.items()}
    ranks = joint_ranks({name: orders[name] for name in sorted(orders)}, alpha)
    views = {}
    for name, own in scores.items():
        file, ordered = f"calibration/scores.view.{name}.json", sorted(own)
        known = {"scores": ordered, "parts": orders[name]}
        (folder / file).write_text(json.dumps(known))
        score = {
            "method": "joint-views", "value": ordered[ranks[name] - 1], "alpha": alpha,
            "n": len(own), "groups": len(own), "rank": ranks[name],
            "bound95": bound_of_parts(len(own), alpha),
        }  # fmt: skip
        views[name] = {"score": score, "scores_file": file}
    edit_json(folder / "thresholds.json", views=views)
    return sign(folder)


def with_type_threshold(folder: Path, name: str, scores: Sequence[float], share: float) -> Path:
    """Give a bundle the threshold of a type, by the scores of its labelled parts."""
    score = fit_threshold(scores, list(range(len(scores))), share, "labelled-type")
    file = "calibration/scores.type.0.json"
    known = {"scores": sorted(scores), "parts": [int(part) for part in np.argsort(scores)]}
    (folder / file).write_text(json.dumps(known))
    own = {"score": score.model_dump(), "scores_file": file}
    edit_json(folder / "thresholds.json", types={name: own})
    return sign(folder)


def _scores_below(folder: Path, threshold: float) -> list[float]:
    """The bundle's calibration scores, scaled so that the highest is the threshold."""
    scores = json.loads((folder / "calibration" / "scores.json").read_text())["scores"]
    return [*(score * threshold / scores[-1] for score in scores[:-1]), threshold]


def set_threshold(folder: Path, value: float) -> None:
    """Give a bundle another threshold, with scores and golden verdicts that fit it."""
    path = folder / "thresholds.json"
    thresholds = json.loads(path.read_text())
    thresholds["score"]["value"] = value
    path.write_text(json.dumps(thresholds))
    scores = {"scores": _scores_below(folder, value)}
    (folder / "calibration" / "scores.json").write_text(json.dumps(scores))
    _add_clearest(folder, value)
    path = folder / "golden" / "golden.json"
    golden = json.loads(path.read_text())
    for image in golden["images"]:
        image["verdict"] = "fail" if image["score"] > value else "pass"
    path.write_text(json.dumps(golden))


def _add_clearest(folder: Path, threshold: float) -> None:
    """Add a golden picture with a clearer defect where the others do not reach a threshold."""
    path = folder / "golden" / "golden.json"
    images = json.loads(path.read_text())["images"]
    if max(image["score"] for image in images) > threshold:
        return
    assert threshold < CLEAREST_SCORE
    file = "golden/06_spur.png"
    shutil.copyfile(CLEAREST, folder / file)
    own = {"file": file, "label": "spur", "score": CLEAREST_SCORE, "verdict": "fail"}
    edit_json(path, images=[*images, {**own, "type": None}])
    maps = dict(np.load(folder / "golden" / "maps.npz"))
    maps[f"map{len(images)}"] = np.full_like(maps["map0"], CLEAREST_SCORE)
    np.savez_compressed(folder / "golden" / "maps.npz", **maps)


def with_two_graphs(folder: Path) -> Path:
    """Give a bundle the small graphs of tests/models: one finds red, one tells bright from dark."""
    graphs = []
    tensors = {
        "detect": {"frame": [1, 256, 256, 3], "map": [1, 128, 128], "score": [1]},
        "types": {"frame": [1, 64, 96, 3], "type_logits": [1, 3, 8, 12]},
    }
    for role, shapes in tensors.items():
        file = f"models/{role}.onnx"
        shutil.copyfile(ROOT / "tests" / "models" / f"{role}.onnx", folder / file)
        frame, *outputs = (
            {"name": name, "shape": shape, "dtype": "uint8" if name == "frame" else "float32"}
            for name, shape in shapes.items()
        )
        own = {"file": file, "role": role, "precision": "fp32"}
        graphs.append({**own, "inputs": [frame], "outputs": outputs})
    edit_json(folder / "bundle.json", graphs=graphs)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe |= {"size_wh": [256, 256], "types_size_wh": [96, 64], "frame_quality": None}
    recipe |= {"defect_types": ["bright", "dark"], "type_evidence": "summed"}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, default_flow_style=None))
    golden = json.loads((folder / "golden" / "golden.json").read_text())["images"]
    # The golden pictures are grey, without any red, but for the last one.
    golden = [{**image, "score": 0.0, "verdict": "pass", "type": None} for image in golden]
    threshold = json.loads((folder / "thresholds.json").read_text())["score"]["value"]
    red = np.zeros((256, 256, 3), np.uint8)
    red[..., 2] = 255
    (folder / golden[-1]["file"]).write_bytes(encode_picture(red))
    golden[-1] |= {"score": 1.0, "verdict": "fail" if threshold < 1.0 else "pass"}
    edit_json(folder / "golden" / "golden.json", images=golden)
    return sign(folder)
