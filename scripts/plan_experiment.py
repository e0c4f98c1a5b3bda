"""Print what an experiment takes: python scripts/plan_experiment.py config.yaml experiments/paper.yaml"""

import sys
from pathlib import Path

from snakemake.utils import update_config

from reedit.errors import InputError
from reedit.experiment import Experiment
from reedit.plan import plan_lines
from reedit.yaml_files import read_mapping

HOUSE = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    config: dict = {}
    try:
        for path in sys.argv[1:]:
            update_config(config, read_mapping(Path(path), "settings"))
        schema = read_mapping(HOUSE / "rules/schemas/config.schema.yaml", "settings")
        print("\n".join(plan_lines(Experiment(config, schema, HOUSE), Path("results"))))
    except InputError as error:
        sys.exit(str(error))
