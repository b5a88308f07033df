"""What it costs to bring a frame to network size: ours against one area average.

python -m benchmarks.shrink
"""

from __future__ import annotations

import statistics
import time

import cv2
import numpy as np

from edge.inspection.preprocess import shrink

SIZES = ((224, 224), (256, 256), (288, 224), (320, 256), (384, 320))


def main() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (1024, 1280, 3), np.uint8)
    print("1280x1024 to   ours ms   INTER_AREA ms   ratio")
    for size in SIZES:
        ours = median(lambda size=size: shrink(frame, size))
        area = median(lambda size=size: cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
        print(f"{size[0]}x{size[1]:<10} {ours:7.2f} {area:15.2f} {area / ours:7.1f}")


def median(function, rounds: int = 50) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


if __name__ == "__main__":
    main()
