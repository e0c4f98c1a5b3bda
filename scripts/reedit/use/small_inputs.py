"""What an edit of a few facts reads beside the model, made by what the rules call, one after the other."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reedit.errors import InputError
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact, is_unicode, read_json_list, write_facts
from reedit.prepare.neighbors import filter_neighbors
from reedit.prepare.prefixes import read_prefixes, sample_prefixes
from reedit.prepare.preparation import own_mark
from reedit.settings.experiment import Experiment
from reedit.settings.runs import Run
from reedit.statistics.corpora import Documents
from reedit.statistics.moments import Reading, collect_moments, write_moment
from reedit.statistics.spectra import decompose_moments
from reedit.storage import parquet
from reedit.storage.tensors import metadata_of

MANY = 2**31  # documents: all of a corpus


@dataclass(frozen=True)
class Request:
    """What is to be edited, and how."""

    model: Path  # a folder that transformers loads
    facts: Path  # see simple_facts.py
    out: Path  # the folder to be made
    method: str = "memit"  # a definition of the configuration's `methods`
    iterations: int = 5  # at most: the proposed rule ends them
    configurations: Sequence[Path] = ()  # overlays of config.yaml
    hyperparameters: Path | None = None  # in place of the configuration's
    moments: Path | None = None  # results/moments/{model}/{corpus}
    corpus: Path | None = None  # texts to collect them over
    max_tokens: int = 256  # of each text
    protocol: str | None = None
    dtype: str | None = None


def make_inputs(
    request: Request,
    facts: Sequence[Fact],
    experiment: Experiment,
    run: Run,
    model: LanguageModel,
    results: Path,
) -> dict[str, Path]:
    """The files that an edit job reads beside the model, made by what the rules call."""
    paths = {table: results / f"{table}.parquet" for table in ("facts", "split", "prefixes")}
    write_facts(facts, paths["facts"], {})
    split = [{"trial": 1, "position": i, "case_id": fact.case_id} for i, fact in enumerate(facts)]
    parquet.write(split, paths["split"], "split", {})
    templates = _templates(experiment, run, model)
    parquet.write([{"template": one} for one in templates], paths["prefixes"], "prefixes", {})
    if run.method.assisting:
        paths["neighbors"] = results / "neighbors.parquet"
        in_file_order = run.method.choice == "first"
        rows = filter_neighbors(model, facts, in_file_order, experiment.config["seed"])
        parquet.write(rows, paths["neighbors"], "neighbors", {})
    if experiment.needs_moments(run):
        layers = experiment.hyperparameters(run)["layers"]
        paths["moments"] = _moments(request, layers, model, results)
    if experiment.needs_spectra(run):
        moments = paths.pop("moments")
        paths["spectra"] = results / "spectra" / moments.name
        decompose_moments(moments, paths["spectra"], layers)
    return paths


def _templates(experiment: Experiment, run: Run, model: LanguageModel) -> list[str]:
    """Prefix templates, sampled from the model as it is, or from the configuration's own file."""
    settings = experiment.prefixes(run.prefixes)
    if "source" not in settings:
        return sample_prefixes(model, **settings)
    local = experiment.files.local(settings["source"])
    if not local:
        raise InputError(f"config: sources.{settings['source']}: expected prefixes in a file on this machine")
    return read_prefixes(Path(local[0]))


def _moments(request: Request, layers: list[int], model: LanguageModel, results: Path) -> Path:
    """The folder of second moments of `layers`: the one that was named, or one made from a corpus."""
    if request.moments:
        revision = (own_mark(request.model) or {}).get("revision")
        for layer in layers:
            path = request.moments / f"{layer}.safetensors"
            if not path.is_file():
                raise InputError(f"{path}: no such file, expected the second moment of an edited layer")
            if revision and (of := metadata_of(path).get("model", revision)) != revision:
                logging.getLogger("reedit").warning(
                    "%s: was taken of %s, this model is %s", path, of, revision
                )
        return request.moments
    folder = results / "moments" / request.corpus.stem
    texts = _texts(request.corpus, request.max_tokens)
    moments, count = collect_moments(model, texts, layers, Reading(request.max_tokens))
    for layer, moment in moments:
        write_moment(moment, folder / f"{layer}.safetensors", {"count": str(count)})
    return folder


def _texts(path: Path, max_tokens: int) -> list[str]:
    """A JSON list of texts, or a file with one a line."""
    if path.suffix != ".json":
        return list(Documents(path, "lines", MANY, max_tokens))
    texts = read_json_list(path)
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip() or not is_unicode(text):
            raise InputError(f"{path}: text {index}: expected a non-empty string, found {text!r}")
    return texts
