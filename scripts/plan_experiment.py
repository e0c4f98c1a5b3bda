"""Print what an experiment takes: python scripts/plan_experiment.py config.yaml experiments/paper.yaml"""

import sys
from pathlib import Path

from reedit.jobs.job import command
from reedit.settings.overlays import read_experiment
from reedit.use.obstacles import obstacles
from reedit.use.plan import plan_lines

HOUSE = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    with command():
        experiment, results = read_experiment(sys.argv[1:], HOUSE), Path("results")
        lines, found = plan_lines(experiment, results), obstacles(experiment, results)
        if found:
            lines += ["", "What stands in the way here:", *(f"- {one}" for one in found)]
        print("\n".join(lines))
