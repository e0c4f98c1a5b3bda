"""Rehearse an experiment on stand-ins: python scripts/rehearse.py CORES config.yaml experiments/paper.yaml"""

import logging
import sys
from pathlib import Path

from reedit.jobs.job import command
from reedit.rehearse.rehearsal import rehearse

HOUSE = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    logging.basicConfig(format="[rehearse] %(message)s")
    logging.getLogger("reedit").setLevel(logging.INFO)
    try:
        with command():
            sys.exit(rehearse(sys.argv[2:], HOUSE, sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on from here")
