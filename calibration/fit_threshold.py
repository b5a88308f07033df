"""Fit a threshold to scores of good parts, one number per line on standard input.

    edge-infer station.yaml --json | jq .score | python calibration/fit_threshold.py --alpha 0.01

Prints the threshold, its false-reject rate and the bound of that rate, as JSON.
"""

import argparse
import sys

from edge.errors import EdgeError
from edge.toolchain.packing.thresholds import fit_threshold


def main() -> None:
    """Read scores, print the threshold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--alpha", type=float, help="false-reject rate; default 1 %%")
    options = parser.parse_args()
    try:
        scores = [float(line) for line in sys.stdin if line.strip()]
        print(fit_threshold(scores, range(len(scores)), options.alpha).model_dump_json(indent=2))
    except (EdgeError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
