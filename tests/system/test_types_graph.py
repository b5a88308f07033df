"""edge-infer with a bundle of two graphs: the second one names what the first one rejects."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.bundle.store import open_bundle
from edge.cameras.source import frame_now
from edge.config.station import DecisionSettings, EngineSettings
from edge.engines.load import load_engine, load_types_engine
from edge.inspection.inspector import Inspector
from tests.support.bundles import make_bundle, sign, with_two_graphs
from tests.system.conftest import COMMANDS, DEMO_IMAGES, Station, results


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_two_graphs(make_bundle(tmp_path_factory.mktemp("bundles"), "typed", threshold=0.2))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good boards as they are, and with a patch of pink or of dark red."""
    folder = tmp_path_factory.mktemp("parts")
    patches = {"good": None, "bright": (180, 180, 255), "dark": (0, 0, 100)}
    for index, path in enumerate(sorted((DEMO_IMAGES / "good").glob("*.png"))[:6]):
        pixels = cv2.imread(str(path))
        for kind, colour in patches.items():
            changed = pixels.copy()
            if colour is not None:
                changed[96:160, 96:160] = colour
            (folder / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / kind / f"{index}.png"), changed)
    return folder


def station(folder: Path, bundle: Path, parts: Path, decision: str) -> Station:
    folder.mkdir()
    return Station(
        folder,
        f"node: n1\nstation: s1\nbundle: {bundle}\ndecision: {decision}\n"
        f"camera: {{source: 'file://{parts}'}}\nmqtt: {{broker: none}}\n",
    )


def biggest(result: dict) -> dict:
    return max(result["defects"], key=lambda defect: defect["area_px"])


def told(result: dict) -> tuple:
    """Everything of a result that the setting must not change."""
    keys = ("result", "reason", "score", "threshold", "defects", "part")
    return tuple(result[key] for key in keys)


def test_rejected_parts_are_named_and_verdicts_do_not_depend_on_it(
    tmp_path: Path, bundle: Path, parts: Path
) -> None:
    found = {}
    for types in ("rejected", "always"):
        done = station(tmp_path / types, bundle, parts, f"{{types: {types}}}").run("--json")
        assert done.returncode == 0, done.stderr
        found[types] = results(done.stdout)
    assert len(found["rejected"]) == 18
    assert [told(r) for r in found["rejected"]] == [told(r) for r in found["always"]]
    names = {"good": set(), "bright": set(), "dark": set()}
    for result in found["rejected"]:
        label = result["part"]["label"]
        assert bool(result["defects"]) == (result["result"] == "fail")
        if label != "good":
            assert result["result"] == "fail"
            names[label].add(biggest(result)["type"])
            assert biggest(result)["type_score"] > 0.5
    assert names["bright"] == {"bright"}
    assert names["dark"] == {"dark"}
    assert sum(r["result"] == "pass" for r in found["rejected"]) >= 4


def test_the_setting_says_for_which_parts_the_second_graph_runs(bundle: Path, parts: Path) -> None:
    """An engine that is closed tells in the result that it was asked."""
    opened, settings = open_bundle(bundle), EngineSettings()
    paths = sorted(parts.glob("*/0.png"))
    asked = {}
    with load_engine(opened, settings) as engine, load_types_engine(opened, settings) as types:
        types.close()
        for setting in ("rejected", "always"):
            decision = DecisionSettings(types=setting, max_engine_failures=99)
            inspector = Inspector(opened, engine, decision, types)
            for path in paths:
                frame = frame_now("top", 0, np.asarray(cv2.imread(str(path))))
                inspection, _ = inspector.inspect(frame)
                asked[setting, path.parent.name] = "types not named" in inspection.detail
    assert asked == {
        ("rejected", "good"): False, ("rejected", "bright"): True, ("rejected", "dark"): True,
        ("always", "good"): True, ("always", "bright"): True, ("always", "dark"): True,
    }  # fmt: skip


def test_an_unknown_setting_is_refused(tmp_path: Path, bundle: Path, parts: Path) -> None:
    done = station(tmp_path / "s", bundle, parts, "{types: sometimes}").run("--check")
    assert done.returncode == 2
    assert "decision.types" in done.stderr
    assert "rejected" in done.stderr


def test_check_and_doctor_look_at_both_graphs(tmp_path: Path, bundle: Path, parts: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    (broken / "models" / "types.onnx").write_bytes(b"not a graph")
    sign(broken)
    done = station(tmp_path / "s", broken, parts, "{}").run("--check")
    assert done.returncode == 3
    assert "types.onnx: not an ONNX model" in done.stderr
    done = subprocess.run(
        [COMMANDS / "edge-doctor", "--bundle", str(broken), "--state-dir", str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "COLUMNS": "400"},
    )  # fmt: skip
    assert done.returncode != 0
    assert "types.onnx: not an ONNX model" in done.stdout
