"""A long campaign over every door; findings are kept as files.

python -m tests.fuzz --inputs 1000000
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.campaign import Report, run
from tests.fuzz.doors import DOORS, make_door


def main() -> int:
    """Run; 1 when anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--door", action="append", choices=sorted(DOORS), help="only this one")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    options = parser.parse_args()
    names = options.door or list(DOORS)
    shares = {name: _share(name) for name in names}
    counts = {
        n: max(1, options.inputs * share // sum(shares.values())) for n, share in shares.items()
    }
    with ThreadPoolExecutor(options.jobs) as pool:
        reports = list(pool.map(lambda name: run(name, counts[name], options.seed), names))
    print("| door | inputs | refused | findings | longest, s | memory grown, MiB | seconds |")
    print("|---|---|---|---|---|---|---|")
    for report in reports:
        _show(report, options.findings)
    found = sum(len(report.findings) for report in reports)
    print(f"{sum(report.inputs for report in reports)} inputs, {found} findings")
    return 1 if found else 0


def _share(name: str) -> int:
    door = make_door(name)
    door.close()
    return door.share


def _show(report: Report, folder: Path) -> None:
    print(
        f"| {report.door} | {report.inputs} | {report.refused} | {len(report.findings)} "
        f"| {report.longest_s:.2f} | {report.grown_bytes / 2**20:.0f} | {report.seconds:.0f} |",
        flush=True,
    )
    for finding in report.findings:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{finding.door}-{hashlib.sha256(finding.data).hexdigest()[:12]}.bin"
        (folder / name).write_bytes(finding.data)
        print(f"  {folder / name}: {finding.what}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
