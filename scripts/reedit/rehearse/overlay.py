"""The overlay that makes a rehearsal of an experiment: stand-ins for its models, little of what takes long.

Methods, protocols, trials, scores, tables and figures stay, and so do the datasets, whole.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reedit.evaluate.judge_plugins import plugin_of
from reedit.methods.hyperparameters import PASSES
from reedit.prepare.datasets import load_dataset
from reedit.settings.experiment import Experiment

FEW_PASSES = 3  # of OPTIMIZATION
BATCHES = 2  # that a method with batches has at the least
PROCESSES = 2
FEW = 2  # times as many cases as the edits of all trials: then all of them are edited
LARGE = ("hub", "url", "wheels")  # kinds of source whose texts are not fetched for second moments
CORPUS, TEXTS = "stand-in", "stand-in-texts"
# a stand-in's keys are of any size: every direction is free to be written in
ANY = {"nullspace_threshold": 1e9}


def rehearsal_overlay(
    experiment: Experiment, stand_ins: Mapping[str, tuple[Path, Mapping[str, int]]], texts: Path
) -> dict[str, Any]:
    """What is to be laid over the configuration of `experiment`, whose `rehearsal` bounds it.

    `stand_ins`: by model, the folder of its stand-in and its shape; `texts`: a file with a document a line,
    for the second moments of corpora that are large. All paths become absolute: a rehearsal has a working
    directory of its own.
    """
    config, bounds = experiment.config, experiment.config["rehearsal"]
    sources: dict[str, dict[str, str]] = experiment.files.absolute()
    sources |= {f"stand-in-{model}": _folder(place) for model, (place, _) in stand_ins.items()}
    sources[TEXTS] = {"kind": "file", "path": str(texts)}
    small = [name for name, corpus in config["corpora"].items() if not _large(config, corpus)]
    corpora: dict[str, Any] = {
        name: {"samples": min(config["corpora"][name]["samples"], bounds["samples"])} for name in small
    }
    corpora[CORPUS] = {"format": "lines", "source": TEXTS, "samples": bounds["samples"], "max_tokens": 128}
    labels = config.get("report", {}).get("labels", {})
    return {
        "sources": sources,
        "models": {
            model: {
                "source": f"stand-in-{model}",
                "shape": dict(shape),
                "processes": min(config["models"][model].get("processes", 1), PROCESSES),
            }
            for model, (_, shape) in stand_ins.items()
        },
        "corpora": corpora,
        "methods": _methods(experiment),
        "hyperparameters": _hyperparameters(experiment),
        "report": {"labels": {model: f"Stand-in for {labels.get(model, model)}" for model in stand_ins}},
        # no service is asked about what stand-ins say: one of them judges in its place
        "generation": {"judge": min(stand_ins)} if plugin_of(experiment.asked.generation.judge) else {},
        "runs": [_entry(run, bounds, small, _cases(experiment, run["dataset"])) for run in config["runs"]],
    }


def _folder(place: Path) -> dict[str, str]:
    return {"kind": "folder", "path": str(place)}


def _large(config: Mapping[str, Any], corpus: Mapping[str, Any]) -> bool:
    """Whether a corpus is too large to be fetched for a rehearsal, or holds statistics of the real model."""
    return corpus["format"] == "released-statistics" or config["sources"][corpus["source"]]["kind"] in LARGE


def _methods(experiment: Experiment) -> dict[str, Any]:
    """Few passes, and batches so small that there are several, for every method that edits."""
    methods: dict[str, Any] = {}
    for run in experiment.runs.values():
        method, given = run.method, experiment.hyperparameters(run)
        few = {name: min(given[name], FEW_PASSES) for name in PASSES.values() if name in given}
        few |= {name: value for name, value in ANY.items() if name in given}
        found = methods.setdefault(method.edited_as, {"hyperparameters": few})
        if method.batch is not None:
            edits = _edits(run.entry.edits, experiment.config["rehearsal"])
            found["batch"] = min(method.batch, max(1, edits // BATCHES))
            if method.checkpoints:
                found["checkpoints"] = 1  # after each, so that there are some
        if method.engine.name != "reedit":
            found["engine"] = {"path": str(experiment.files.found(method.engine.path).resolve())}
    return methods


def _hyperparameters(experiment: Experiment) -> dict[str, Any]:
    """Paths of hyperparameter files, absolute."""
    return {
        algorithm: {
            model: str(experiment.files.found(value).resolve())
            for model, value in models.items()
            if isinstance(value, str)
        }
        for algorithm, models in experiment.config["hyperparameters"].items()
    }


def _edits(asked: int | str, bounds: Mapping[str, int]) -> int:
    return bounds["edits"] if asked == "all" else min(int(asked), bounds["edits"])


def _cases(experiment: Experiment, dataset: str) -> float:
    """How many cases a dataset has; without end where nobody knows before it is fetched."""
    definition, files = experiment.config["datasets"][dataset], experiment.files
    sources = [files.located(name) for name in files.of_dataset(dataset)]
    if "cases" in definition or any(source["kind"] != "file" for source in sources):
        return definition.get("cases", math.inf)
    paths = [Path(source["path"]) for source in sources]
    return len(load_dataset(definition["format"], paths, definition.get("malformed", "error")).facts)


def _entry(
    run: Mapping[str, Any], bounds: Mapping[str, int], small: list[str], cases: float
) -> dict[str, Any]:
    """An entry of `runs` with few edits and iterations, the last of them an extension where there may be one.

    What does not align is dropped whatever the entry says, so that all of it is found and counted. All of a
    few cases stay all: when some are dropped, there might be fewer left than a number asks for.
    """
    iterations = min(run["iterations"], bounds["iterations"])
    entry = {**run, "iterations": iterations, "misaligned": "drop"}
    edits, trials = _edits(run["edits"], bounds), min(run.get("trials", 1), bounds["trials"])
    if run["edits"] != "all" or cases > FEW * edits * trials:
        entry |= {"edits": edits, "trials": trials}
    entry["corpus"] = run["corpus"] if run["corpus"] in small else CORPUS
    if "extend_to" in run:
        entry["extend_to"] = iterations
        entry["iterations"] = max(1, iterations - 1)
    return entry
