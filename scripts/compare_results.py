"""Compute published results again: python scripts/compare_results.py CORES docs/results/tuned M/D/METHOD"""

import sys
from pathlib import Path

from reedit.jobs.job import command
from reedit.publish.again import run_again

HOUSE = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    if len(sys.argv) != 4 or not sys.argv[2]:
        sys.exit(f"expected RESULTS, a published folder, and PART; {__doc__}")
    cores, folder, part = sys.argv[1:]
    try:
        with command():
            sys.exit(run_again(Path(folder), part, HOUSE, cores))
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here")
