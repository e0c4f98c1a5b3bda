"""What a rehearsal needs before it can run: stand-ins, texts, and the configuration that names them."""

import json
from pathlib import Path

import yaml

from reedit.jobs.progress import progress
from reedit.prepare.cases import read_json_list
from reedit.rehearse.origins import texts_of_model
from reedit.rehearse.overlay import rehearsal_overlay
from reedit.rehearse.stand_ins import make_stand_in
from reedit.settings.experiment import Experiment
from reedit.settings.overlays import overlaid
from reedit.storage.files import write_text

OVERLAY = "config.yaml"


def prepare_rehearsal(experiment: Experiment, folder: Path, results: Path, sentences: Path) -> Path:
    """Make all that lies in `folder` before the run; the configuration of the rehearsal.

    `results`: of the real experiment, where models may be at hand; `sentences`: a file of general ones, over
    which the second moments are collected where the corpus is large. Raises InputError where a tokenizer is
    not to be had.
    """
    report = progress("stand-ins for models", len(experiment.models))
    stand_ins = {}
    for done, model in enumerate(experiment.models, 1):
        place = (folder / "stand-ins" / model).resolve()
        texts = texts_of_model(experiment, model, results, folder / "origins")
        shape = experiment.config["models"][model].get("shape", {})
        stand_ins[model] = place, make_stand_in(texts, place, shape)
        report(done)
    texts = (folder / "stand-ins" / "texts.txt").resolve()
    write_text(texts, "".join(f"{entry['Text']}\n" for entry in read_json_list(sentences)))
    overlay = rehearsal_overlay(experiment, stand_ins, texts)
    config = overlaid(experiment.config, overlay)
    config.pop("downstream", None)  # needs an environment of its own, and a model that can answer
    # as JSON, which is YAML: aliases of one list would be written as such
    write_text(folder / OVERLAY, yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=False))
    return folder / OVERLAY
