"""Print what an experiment takes: python scripts/plan_experiment.py config.yaml experiments/paper.yaml"""

import sys
from pathlib import Path

import yaml
from snakemake.utils import update_config

from reedit.errors import InputError
from reedit.experiment import Experiment
from reedit.plan import plan_lines

HOUSE = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    config: dict = {}
    for path in sys.argv[1:]:
        update_config(config, yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    schema = yaml.safe_load((HOUSE / "rules/schemas/config.schema.yaml").read_text(encoding="utf-8"))
    try:
        print("\n".join(plan_lines(Experiment(config, schema, HOUSE), Path("results"))))
    except InputError as error:
        sys.exit(str(error))
