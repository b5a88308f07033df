"""From the command to the first verdict, and the memory the line settles at.

    python -m benchmarks.startup --bundle demo/bundle

Starts `edge-infer` several times on the simulated conveyor; prints seconds to the first result on
standard output, and the resident memory after 300 parts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STATION = """
node: bench
station: bench
bundle: {bundle}
camera: {{source: 'test://conveyor?size=640x480'}}
mqtt: {{broker: none}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=Path("demo/bundle"))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        station = Path(folder) / "station.yaml"
        station.write_text(STATION.format(bundle=options.bundle.resolve()))
        rounds = [once(station, Path(folder)) for _ in range(options.rounds)]
    seconds = [first for first, _ in rounds]
    memory = [rss for _, rss in rounds]
    print(
        json.dumps(
            {
                "first_verdict_s": round(statistics.median(seconds), 2),
                "first_verdict_worst_s": round(max(seconds), 2),
                "memory_mb": round(max(memory) / 1e6),
            }
        )
    )


def once(station: Path, folder: Path) -> tuple[float, int]:
    command = [str(Path(sys.executable).parent / "edge-infer"), str(station), "--json"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--state-dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    first = time.perf_counter() - start
    for _ in range(300):
        process.stdout.readline()
    status = Path(f"/proc/{process.pid}/status").read_text()
    rss = int(next(row.split()[1] for row in status.splitlines() if row.startswith("VmRSS")))
    process.terminate()
    process.communicate(timeout=10)
    return first, rss * 1024


if __name__ == "__main__":
    main()
