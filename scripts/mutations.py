"""Break the code in known ways, one at a time, and see whether a test notices.

    python scripts/mutations.py                 all of them
    python scripts/mutations.py statistics veto those whose file or line holds one of the words

Every mutation is applied to a copy of the tree; the checkout is not touched. Prints one line per
mutation and the number that died; exits with 1 if one survived. A mutation whose line is not found
exactly once is an error: the table has to follow the code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("edge", "tests", "demo", "configs", "build", "calibration", "pyproject.toml", "setup.py")
LIMIT_S = 300


class Mutation(NamedTuple):
    """A line of a file under edge/, what it becomes, and the tests that should notice."""

    file: str
    line: str
    becomes: str
    tests: str


INSPECTION = "tests/inspection"
MUTATIONS = (
    # The six that survived once.
    Mutation(
        "inspection/frame_quality.py",
        "margin = max(high - low, MIN_MARGIN)",
        "margin = MIN_MARGIN",
        INSPECTION,
    ),
    Mutation(
        "inspection/scorer.py",
        "type_logits=scored[0].type_logits if len(scored) == 1 else None,",
        "type_logits=scored[0].type_logits,",
        INSPECTION,
    ),
    # Inspection.
    Mutation("inspection/frame_quality.py", "min(stds) / 2", "0.0", INSPECTION),
    Mutation(
        "inspection/frame_quality.py", "if not low <= value <= high:", "if value < low:", INSPECTION
    ),
    Mutation(
        "inspection/scorer.py",
        "score=max(view.score for view in scored),",
        "score=scored[0].score,",
        INSPECTION,
    ),
    Mutation(
        "inspection/scorer.py",
        "if not (math.isfinite(score) and math.isfinite(float(anomaly_map.sum()))):",
        "if not math.isfinite(score):",
        INSPECTION,
    ),
    Mutation(
        "inspection/scorer.py", "np.maximum(part, tile, out=part)", "part[:] = tile", INSPECTION
    ),
    Mutation("inspection/preprocess.py", "cv2.COLOR_BGR2RGB", "cv2.COLOR_BGR2YUV", INSPECTION),
    Mutation(
        "inspection/preprocess.py",
        "cv2.resize(pixels, half, interpolation=cv2.INTER_AREA)",
        "cv2.resize(pixels, half, interpolation=cv2.INTER_NEAREST)",
        INSPECTION,
    ),
    Mutation("inspection/regions.py", "connectivity=8", "connectivity=4", INSPECTION),
    Mutation("inspection/regions.py", "[:MAX_REGIONS] + 1", "+ 1", INSPECTION),
    Mutation(
        "inspection/regions.py", "area_px = cells * sx * sy", "area_px = cells * sx", INSPECTION
    ),
    Mutation(
        "inspection/type_naming.py",
        "if score >= LEAST_TYPE_SCORE else UNKNOWN_TYPE",
        "if score >= 0 else UNKNOWN_TYPE",
        INSPECTION,
    ),
    Mutation(
        "inspection/type_naming.py", "and not region.vetoed]", "]", f"{INSPECTION} tests/evaluation"
    ),
    Mutation(
        "inspection/veto.py", "region.false_alarm > above", "region.false_alarm >= 0", INSPECTION
    ),
    Mutation("inspection/veto.py", "        and not decision.detail\n", "", INSPECTION),
    Mutation(
        "inspection/veto.py",
        "and len(vetoed) == len(regions) < MAX_REGIONS",
        "and len(vetoed) == len(regions)",
        INSPECTION,
    ),
    Mutation(
        "inspection/inspector.py",
        "self.failures_in_a_row = 0\n        return typed",
        "return typed",
        INSPECTION,
    ),
    Mutation(
        "inspection/inspector.py",
        "if abs(score - image.score) > allowed or verdict != image.verdict:",
        "if verdict != image.verdict:",
        INSPECTION,
    ),
    # Decision.
    Mutation(
        "inspection/decision.py",
        "if score > bundle.thresholds.score.value:",
        "if score >= bundle.thresholds.score.value:",
        INSPECTION,
    ),
    Mutation(
        "inspection/decision.py",
        "    if quality_problem is not None:\n",
        "    if quality_problem is not None and undecided_p is not None:\n",
        INSPECTION,
    ),
    Mutation(
        "inspection/decision.py",
        "undecided_p is not None and p < undecided_p",
        "undecided_p is not None and p > undecided_p",
        INSPECTION,
    ),
    Mutation(
        "bundle/conformal.py",
        "return (1 + at_least) / (1 + len(sorted_scores))",
        "return at_least / (1 + len(sorted_scores))",
        "tests/bundle",
    ),
)


def main() -> int:
    """Run the mutations whose file or line holds one of the words, or all."""
    words = sys.argv[1:]
    chosen = [m for m in MUTATIONS if not words or any(w in m.file or w in m.line for w in words)]
    survivors = 0
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        for name in COPIED:
            copy(ROOT / name, tree / name)
        for mutation in chosen:
            outcome = run(tree, mutation)
            survivors += outcome != "died"
            print(f"{outcome:9} {mutation.file}: {mutation.becomes.strip() or 'line removed'}")
    print(f"{len(chosen) - survivors} of {len(chosen)} mutations died")
    return 1 if survivors else 0


def copy(source: Path, target: Path) -> None:
    """Copy a file or folder without caches."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def run(tree: Path, mutation: Mutation) -> str:
    """Apply one mutation, run its tests, and take it back."""
    path = tree / "edge" / mutation.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutation.line) != 1:
        sys.exit(
            f"{mutation.file}: {mutation.line!r} stands there {text.count(mutation.line)} times"
        )
    path.write_text(text.replace(mutation.line, mutation.becomes), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [*command, *mutation.tests.split()],
            cwd=tree, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "died"  # a test that never ends is noticed, too
    finally:
        path.write_text(text, encoding="utf-8")
    if done.returncode not in (0, 1):
        sys.exit(
            f"{mutation.file}: the tests do not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return "died" if done.returncode else "SURVIVED"


if __name__ == "__main__":
    sys.exit(main())
