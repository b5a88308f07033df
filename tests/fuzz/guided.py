"""Coverage-guided fuzzing of one door with atheris, where it installs (Linux x86-64, CPython).

    pip install atheris && python -m tests.fuzz.guided config -max_total_time=600

Options after the door are libFuzzer's. An input that finds a fault is written to crash-HASH.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile

import atheris

with atheris.instrument_imports(include=["edge", "yaml", "json", "urllib"]):
    from tests.fuzz.doors import DOORS, make_door


def main() -> None:
    """Run until libFuzzer's limits."""
    if len(sys.argv) < 2 or sys.argv[1] not in DOORS:
        raise SystemExit(f"expected one of {', '.join(DOORS)}")
    logging.disable(logging.CRITICAL)
    name = sys.argv.pop(1)
    door = make_door(name)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(door.seeds):
            with open(f"{corpus}/{number}", "wb") as file:
                file.write(seed)

        def read(data: bytes) -> None:
            with contextlib.suppress(door.refusals):
                door.open(data)

        limits = [arg for arg in ("-timeout=2", "-rss_limit_mb=2048") if arg not in sys.argv]
        atheris.Setup([sys.argv[0], corpus, *limits, *sys.argv[1:]], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
