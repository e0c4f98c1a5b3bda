"""Tuning of a local model without Snakemake: what the rules do for it, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reedit.errors import InputError, nearest
from reedit.fetch.sources import fetch
from reedit.jobs.code_digest import Code
from reedit.methods.algorithms import ALGORITHMS
from reedit.models.language_model import LanguageModel
from reedit.prepare.datasets import load_facts
from reedit.prepare.facts import write_facts
from reedit.report.rows.tuning import Tuned
from reedit.report.tuning_files import write_tuning
from reedit.settings.experiment import Experiment
from reedit.settings.overlays import overlaid
from reedit.storage.files import file_sha256, link_or_copy, whole_folder
from reedit.storage.provenance import digest
from reedit.tune.job import tune_hyperparameters
from reedit.use.small_edit import GIVEN, HOUSE, check_apart, configuration, prepared, shown_name
from reedit.use.small_inputs import MANY, write_prefixes


@dataclass(frozen=True)
class TuneRequest:
    """What is to be tuned, on what, and for how long; None: as config.yaml has it."""

    model: Path  # a folder that transformers loads
    out: Path  # the folder that files are put in
    algorithm: str = "memit"
    facts: Path | None = None  # in any of the formats that are read
    corpus: Path | None = None  # texts for the second moments, one a line
    minutes: float | None = None
    edits: int | None = None
    at_once: int | None = None  # facts that are edited together
    configurations: Sequence[Path] = ()  # overlays of config.yaml
    dtype: str | None = None


def tune_model(request: TuneRequest) -> Tuned:
    """Write out/{algorithm}.yaml, .md, .pdf, .png and .parquet; what they rest on lies in out/.tuning.

    The same command goes on from there. Raises InputError with one line.
    """
    if request.algorithm not in ALGORITHMS:
        hint = nearest(request.algorithm, ALGORITHMS)
        raise InputError(f"--algorithm: no algorithm: {request.algorithm!r}{hint}")
    for given in (request.facts, request.corpus):
        if given and not given.is_file():
            raise InputError(f"{given}: no such file")
    check_apart(request.out, request.model)
    results = request.out / ".tuning" / _mark(request)
    base = prepared(request.model, results)
    name = shown_name(base)
    experiment = Experiment(_overlaid(request, name, base), HOUSE)
    settings = experiment.tune_settings(name, request.algorithm)
    if request.facts:  # no run edits them
        settings = replace(settings, share=1.0)
    paths = {
        "model": base,
        "facts": _facts(request, experiment, name, results),
        "source": _texts(request, experiment, name, results),
        "rows": request.out / f"{request.algorithm}.parquet",
        "prefixes": results / "prefixes.parquet",
    }
    if not paths["prefixes"].exists():
        write_prefixes(experiment, name, lambda: LanguageModel.load(base, settings.dtype), paths["prefixes"])
    code = {"code": Code().digest(HOUSE / "scripts/tune_hyperparameters.py")}
    tune_hyperparameters(paths, [], results / "state" / request.algorithm, settings, code)
    return write_tuning(paths["rows"], name, f"{request.algorithm} on {name}")


def _mark(request: TuneRequest) -> str:
    """Of what is made once: another model, other texts or another configuration have a folder of their own.

    What the job itself makes depends on more, which it looks at (tune/job.py).
    """
    config = configuration(request.configurations)
    del config["tuning"]["budget"]  # a job goes on with more time
    corpus = file_sha256(request.corpus) if request.corpus else None
    model = request.model.resolve()
    changed = model.stat().st_mtime if model.exists() else None
    return digest([str(model), changed, corpus, request.dtype, config])


def _overlaid(request: TuneRequest, name: str, base: Path) -> dict[str, Any]:
    """The configuration, as if it had fetched the model."""
    config = configuration(request.configurations)
    known, asked = config["models"].get(name, {}), {}
    budget = {"minutes": request.minutes, "edits": request.edits}
    asked["budget"] = {key: value for key, value in budget.items() if value is not None}
    if request.at_once:
        asked["facts"] = request.at_once
    model = {
        "source": GIVEN,
        "dtype": request.dtype or known.get("dtype", "float32"),
        "prefixes": known.get("prefixes", {}),
    }
    given: dict[str, Any] = {"models": {name: model}, "tuning": asked}
    given["sources"] = {GIVEN: {"kind": "folder", "path": str(base)}}
    if request.corpus:  # all of it, as `edit --corpus` reads it
        texts = {"format": "lines", "source": GIVEN, "samples": MANY, "max_tokens": 256}
        given["corpora"], asked["corpus"] = {GIVEN: texts}, GIVEN
    return overlaid(config, given)


def _facts(request: TuneRequest, experiment: Experiment, name: str, results: Path) -> Path:
    path = results / "facts.parquet"
    dataset = load_facts(request.facts or _own_facts(experiment, name))
    write_facts(dataset.facts, path, {}, dataset.together)
    return path


def _own_facts(experiment: Experiment, name: str) -> Path:
    """The file of the dataset that the configuration tunes with."""
    dataset, _ = experiment.tuned_on(name)
    files = [experiment.files.local(source) for source in experiment.files.of_dataset(dataset)]
    if len(files) != 1 or not files[0]:
        raise InputError(f"tuning: {dataset} is no single file on this machine; expected --facts FILE")
    return Path(files[0][0])


def _texts(request: TuneRequest, experiment: Experiment, name: str, results: Path) -> Path:
    """The corpus as a fetched source: the texts given, or the configuration's."""
    _, corpus = experiment.tuned_on(name)
    folder = results / "corpus"
    if folder.exists():
        return folder
    if request.corpus:
        with whole_folder(folder) as temporary:
            link_or_copy(request.corpus, temporary / request.corpus.name)
        return folder
    source = experiment.asked.corpora[corpus].source
    fetch(source, experiment.files.located(source), folder)
    return folder
