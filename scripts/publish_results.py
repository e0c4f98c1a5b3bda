"""Keep results with the docs: python scripts/publish_results.py config.yaml experiments/tuned.yaml"""

import sys
from pathlib import Path

from reedit.jobs.job import command
from reedit.publish.publication import publish

HOUSE = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    with command():
        print(publish(sys.argv[1:], HOUSE, Path("docs/results")))
