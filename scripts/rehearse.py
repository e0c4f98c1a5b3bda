"""Rehearse an experiment on stand-ins: python scripts/rehearse.py CORES config.yaml experiments/paper.yaml"""

import logging
import os
import subprocess
import sys
from pathlib import Path

from reedit.errors import InputError
from reedit.jobs.warm import warm
from reedit.prepare.facts import read_json_list
from reedit.rehearse.preparation import prepare_rehearsal
from reedit.settings.overlays import read_experiment

HOUSE = Path(__file__).resolve().parents[1]
FOLDER = Path("rehearsal")
# everything that a script of a rule may import
MODULES = ["torch", "transformers", "pandas", "matplotlib.figure", "snakemake.script", "plotly.offline"]
MODULES += [
    "reedit.edit.edit_run",
    "reedit.evaluate.probes",
    "reedit.report.exploration",
    "reedit.statistics.corpora",
]


def main(cores: str, *paths: str) -> int:
    logging.basicConfig(format="[rehearse] %(message)s", level=logging.INFO)
    try:
        experiment = read_experiment(paths, HOUSE)
        sentences = [entry["Text"] for entry in read_json_list(HOUSE / "resources/general-sentences.json")]
        config = prepare_rehearsal(experiment, FOLDER, Path("results"), sentences)
    except InputError as error:
        sys.exit(str(error))
    environment = os.environ | {"PYTHONPATH": str(HOUSE / "scripts"), "OMP_NUM_THREADS": "1"}
    with warm(MODULES, environment) as python:
        start = f"import sys; sys.executable = {python!r}; from snakemake.cli import main; main()"
        arguments = ["--snakefile", str(HOUSE / "Snakefile"), "--directory", str(FOLDER), "--cores", cores]
        arguments += ["--configfile", str(config), "--max-threads", "1", "--resources", f"gpu={cores}"]
        return subprocess.run([sys.executable, "-c", start, *arguments], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
