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
COPIED = (
    "edge", "tests", "demo", "configs", "docs", "build", "calibration", "pyproject.toml",
    "setup.py",
)  # fmt: skip
LIMIT_S = 300


class Mutation(NamedTuple):
    """A line of a file under edge/, what it becomes, and the tests that should notice."""

    file: str
    line: str
    becomes: str
    tests: str


INSPECTION = "tests/inspection"
OUTPUTS = "tests/outputs"
CAPTURE = "tests/station/capture"
JOBS = "tests/station/commands"
BUNDLE = "tests/bundle"
TRIGGERS = "tests/triggers"
MUTATIONS = (
    # A whole, current frame; a bundle that cannot lie; one result per trigger.
    Mutation(
        "inspection/frame_check.py",
        "if expected is not None and not expected.takes(size_wh):",
        "if False:",
        INSPECTION,
    ),
    Mutation("inspection/frame_check.py", "if not outside.max() > 0:", "if True:", INSPECTION),
    # Views and harmless types by thresholds of their own.
    Mutation("bundle/joint_conformal.py", "while order[-1] in out:", "while False:", BUNDLE),
    Mutation(
        "inspection/type_thresholds.py",
        "if not known or len(known) < len(limits):",
        "if not known:",
        INSPECTION,
    ),
    Mutation(
        "inspection/type_thresholds.py",
        "threshold, name = min(known)",
        "threshold, name = max(known)",
        INSPECTION,
    ),
    Mutation(
        "station/capture/frozen_picture.py",
        "is_repeat = key in self._seen",
        "is_repeat = False",
        CAPTURE,
    ),
    Mutation(
        "picture_damage/jpeg.py",
        'return None if is_whole else "JPEG damaged: scans of the picture are missing"',
        "return None",
        "tests/picture_damage",
    ),
    Mutation("bundle/signature.py", "if not _is_of(key, found, manifest):", "if False:", BUNDLE),
    Mutation("bundle/signature.py", "        if trust.is_required:", "        if False:", BUNDLE),
    Mutation(
        "bundle/onnx_file.py",
        'elif message == "Tensor" and _is_elsewhere(number, kind, data, first, last):',
        "elif False:",
        BUNDLE,
    ),
    Mutation(
        "engines/cache_trust.py",
        "if key is None or not hmac.compare_digest(seal, _seal(key, record)):",
        "if key is None:",
        "tests/engines/test_cache_trust.py",
    ),
    Mutation(
        "engines/cache_trust.py",
        "if found.st_mode & 0o022:",
        "if False:",
        "tests/engines/test_cache_trust.py",
    ),
    Mutation("triggers/queue.py", "elif trigger.id in self._used:", "elif False:", TRIGGERS),
    Mutation(
        "triggers/queue.py",
        "elif is_refusable and len(self._open) >= self._limit:",
        "elif False:",
        TRIGGERS,
    ),
    Mutation(
        "geometry/view_transform.py",
        "return view_map if cells is None else np.where(cells, view_map, np.float32(0))",
        "return view_map",
        "tests/geometry/test_view_transform.py tests/inspection",
    ),
    # Six that survived once, with the first part's time and the back-off below.
    Mutation(
        "inspection/frame_quality.py",
        "margin = max(high - low, MIN_MARGIN)",
        "margin = MIN_MARGIN",
        INSPECTION,
    ),
    Mutation(
        "inspection/scorer.py",
        "logits = None if logits is None else logits.copy()",
        "pass",
        INSPECTION,
    ),
    Mutation(
        "methods/inp_former/unmarked_defects.py",
        "torch.zeros_like(defect), torch.cat(parts)",
        "torch.ones_like(defect), torch.cat(parts)",
        "tests/methods/inp_former/test_unmarked_defects.py",
    ),
    Mutation(
        "methods/inp_former/false_rejects.py",
        "if squared[farthest] <= least**2:",
        "if False:",
        "tests/methods/inp_former/test_false_rejects.py",
    ),
    Mutation(
        "methods/inp_former/branch_fitting.py",
        "RIDGE = 0.12",
        "RIDGE = 12.0",
        "tests/methods/inp_former/test_branch_fitting.py",
    ),
    Mutation(
        "methods/inp_former/memory_bank.py",
        "(2 - 2 * nearest).clamp_min(0).sqrt()",
        "(2 - 2 * nearest).clamp_min(0)",
        "tests/methods/inp_former/test_memory_bank.py",
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
        "if not abs(score - image.score) <= tolerance or verdict != image.verdict:",
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
        "return (1 + len(sorted_scores) - place) / (1 + len(sorted_scores))",
        "return (len(sorted_scores) - place) / (1 + len(sorted_scores))",
        "tests/bundle",
    ),
    Mutation(
        "bundle/conformal.py",
        "return [1 / counts[part] for part in parts]",
        "return [1.0 for part in parts]",
        "tests/bundle",
    ),
    Mutation(
        "bundle/conformal.py",
        "wanted = min((groups + 1) * (1 - alpha), groups) - 1e-9",
        "wanted = min(groups * (1 - alpha), groups) - 1e-9",
        "tests/bundle",
    ),
    # The station.
    Mutation(
        "station/capture/capture.py",
        "            back_off.reset()\n            ",
        "            ",
        CAPTURE,
    ),
    Mutation(
        "station/capture/back_off.py",
        "min(2 * self._nominal_s, self._longest_s)",
        "2 * self._nominal_s",
        CAPTURE,
    ),
    Mutation(
        "station/capture/mailbox.py",
        '            if self._is_full():\n                self._drops.add("mailbox", "overrun")',
        '            if False:\n                self._drops.add("mailbox", "overrun")',
        CAPTURE,
    ),
    Mutation(
        "station/capture/mailbox.py",
        'self._drops.add("mailbox", "superseded")',
        "pass",
        CAPTURE,
    ),
    Mutation(
        "station/recipes/changeover.py",
        "captured_ns is None or captured_ns >= offer.offered_ns",
        "True",
        "tests/station/recipes",
    ),
    Mutation(
        "station/commands/jobs.py",
        "is_wanted = job.aborts == self._aborts",
        "is_wanted = True",
        JOBS,
    ),
    Mutation(
        "station/commands/jobs.py",
        "is_live and frame.captured_ns < job.from_ns",
        "False",
        JOBS,
    ),
    Mutation(
        "station/commands/validity.py",
        "if late_s >= 0:",
        "if False:",
        JOBS,
    ),
    Mutation(
        "station/commands/validity.py",
        "if not 0 < lifetime_s <= longest_s:",
        "if not 0 < lifetime_s:",
        JOBS,
    ),
    Mutation(
        "station/commands/replay_memory.py",
        'self._store(cmd_id, taken, "FULL")',
        "pass",
        JOBS,
    ),
    Mutation(
        "station/commands/audit_check.py",
        "if last < anchor.count:",
        "if False:",
        JOBS,
    ),
    Mutation(
        "messages/result_verifier.py",
        "if seq <= self.high:",
        "if False:",
        "tests/messages",
    ),
    Mutation("station/commands/dispatcher.py", "if known is not None:", "if False:", JOBS),
    # Outputs.
    Mutation(
        "outputs/statistics.py",
        "self._first_s = self._last_s - inspection.times.processing_ms / 1e3",
        "self._first_s = self._last_s",
        OUTPUTS,
    ),
    Mutation(
        "outputs/statistics.py",
        "is_reject = inspection.verdict is not Verdict.PASS",
        "is_reject = inspection.verdict is Verdict.FAIL",
        OUTPUTS,
    ),
    Mutation(
        "outputs/dispatcher.py",
        '            with self._failures.caught(sink.name, "decided"):\n                ',
        "            if True:\n                ",
        OUTPUTS,
    ),
    Mutation(
        "outputs/queued_sink.py",
        "elif len(self._tasks) >= self._size:",
        "elif False:",
        OUTPUTS,
    ),
    Mutation("outputs/outbox_tables.py", 'changed["lost"] += dropped', "pass", OUTPUTS),
    Mutation("outputs/outbox_tables.py", "or size > limits.max_bytes):", "or False):", OUTPUTS),
    Mutation(
        "outputs/outbox_writer.py",
        "self._waiting.extendleft(reversed(batch))",
        "self._waiting.extendleft(batch)",
        OUTPUTS,
    ),
    Mutation(
        "outputs/picture_archive.py",
        "self._bytes > self._settings.max_bytes and len(self._files) > 1",
        "False",
        OUTPUTS,
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
        for tests in sorted({mutation.tests for mutation in chosen}):
            if pytest(tree, tests):
                sys.exit(f"{tests}: fails without a mutation")
        for mutation in chosen:
            outcome = run(tree, mutation)
            survivors += outcome != "died"
            changed = " ".join(mutation.becomes.split()) or "line removed"
            print(f"{outcome:9} {mutation.file}: {changed}", flush=True)
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
    try:
        return "died" if pytest(tree, mutation.tests) else "SURVIVED"
    finally:
        path.write_text(text, encoding="utf-8")


def pytest(tree: Path, tests: str) -> bool:
    """Run tests in a copy of the tree; True when one of them fails, or never ends."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow", *tests.split()]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider"],
            cwd=tree, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return True
    if done.returncode not in (0, 1):
        sys.exit(f"{tests}: do not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 1


if __name__ == "__main__":
    sys.exit(main())
