"""What an edit of a few facts reads beside the model, made by what the rules call, one after the other."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reedit.errors import InputError, is_unicode
from reedit.evaluate.fitness import CaseFitness, longest_text
from reedit.models.language_model import LanguageModel
from reedit.models.tokenizers import load_tokenizer
from reedit.models.tokens import Wording
from reedit.prepare.cases import in_one_line, read_json_list
from reedit.prepare.facts import Fact, write_facts
from reedit.prepare.neighbors import filter_neighbors
from reedit.prepare.prefixes import read_prefixes, sample_prefixes
from reedit.prepare.preparation import own_mark
from reedit.prepare.reading import Dataset
from reedit.prepare.roles import by_case, choose_assistants
from reedit.prepare.settings import SplitSettings
from reedit.prepare.splits import FilterRows, Pool, fitting, make_split
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
    iterations: int | None = None  # at most: the proposed rule ends them
    configurations: Sequence[Path] = ()  # overlays of config.yaml
    hyperparameters: Path | None = None  # in place of the configuration's
    moments: Path | None = None  # results/moments/{model}/{corpus}
    corpus: Path | None = None  # texts to collect them over
    max_tokens: int = 256  # of each text
    protocol: str | None = None
    subject_end: str | None = None  # exact or published; None: as the protocol has it
    first_token: str = "bare"  # or prefixed
    separator: str = " "  # between prompt and target
    chat: bool | None = None  # None: as the configuration says of the model
    skip: bool = False  # leave out what cannot be edited
    dtype: str | None = None


def check_facts(dataset: Dataset, experiment: Experiment, run: Run, base: Path) -> Pool:
    """The facts that can be edited with a model, by its folder alone, before its weights are read.

    With misaligned: drop the others, and those that could not be read, are left out, else refused all at
    once. Who assists is not known yet: the model has not been asked about the neighbors.
    """
    facts, unread = dataset.facts, dataset.malformed
    settings = replace(_split_settings(experiment, run), assisting=())
    wording = Wording.of(load_tokenizer(base), **settings.wording)
    fitness = CaseFitness(wording, settings, longest_text(base))
    if settings.misaligned == "drop":
        for reason in unread:
            logging.getLogger("reedit").info("left out: %s", reason)
        return _whole(fitting(facts, {}, fitness)[0], dataset)
    if reasons := [*unread, *(one.reason for one in fitness.unfit(facts, {}))]:
        what = f"{len(reasons)} of {len(facts) + len(unread)} facts cannot be edited (--skip leaves them out)"
        raise InputError(in_one_line(reasons, what))
    return _whole(facts, dataset)


def _whole(facts: Sequence[Fact], dataset: Dataset) -> Pool:
    """The facts whose case is there with all of its facts."""
    pool = Pool(facts, [len(facts)], dataset.together)
    kept = {one for case in pool.whole([fact.case_id for fact in facts]) for one in case}
    facts = [fact for fact in facts if fact.case_id in kept]
    return replace(pool, facts=facts, sizes=[len(facts)])


def _split_settings(experiment: Experiment, run: Run) -> SplitSettings:
    return experiment.split_settings(run.entry.model, run.entry.dataset, run.entry.sample)


def make_inputs(
    request: Request,
    pool: Pool,
    experiment: Experiment,
    run: Run,
    model: LanguageModel,
    results: Path,
) -> dict[str, Path]:
    """The files that an edit job reads beside the model, made by what the rules call."""
    paths = {table: results / f"{table}.parquet" for table in ("facts", "split", "prefixes")}
    facts = pool.facts
    write_facts(facts, paths["facts"], {}, pool.together)
    rows = []
    if run.method.assisting:
        paths["neighbors"] = results / "neighbors.parquet"
        in_file_order = run.method.choice == "first"
        rows = filter_neighbors(model, facts, in_file_order, experiment.config["seed"])
        parquet.write(rows, paths["neighbors"], "neighbors", {})
    settings = _split_settings(experiment, run)
    fitness = CaseFitness(model.wording, settings, model.model.config.max_position_embeddings)
    if request.skip:
        facts = _with_assistants(facts, rows, run)
    split, counts = make_split(replace(pool, facts=facts, sizes=[len(facts)]), rows, fitness, settings)
    parquet.write(split, paths["split"], "split", counts)
    write_prefixes(experiment, run.prefixes, lambda: model, paths["prefixes"])
    if experiment.needs_moments(run):
        layers = experiment.hyperparameters(run)["layers"]
        paths["moments"] = _moments(request, layers, model, results)
    if experiment.needs_spectra(run):
        moments = paths.pop("moments")
        paths["spectra"] = results / "spectra" / moments.name
        decompose_moments(moments, paths["spectra"], layers)
    return paths


def _with_assistants(facts: Sequence[Fact], rows: FilterRows, run: Run) -> list[Fact]:
    """The facts that have enough neighbors to assist them; a line for each other one."""
    found, cases = [], by_case(rows)
    for fact in facts:
        try:
            choose_assistants(
                fact.case_id, cases.get(fact.case_id, []), run.method.assisting, run.method.choice
            )
        except InputError as error:
            logging.getLogger("reedit").info("left out: %s", error)
        else:
            found.append(fact)
    return found


def write_prefixes(experiment: Experiment, name: str, model: Callable[[], LanguageModel], path: Path) -> None:
    """Prefix templates of that name, sampled from the model as it is, or read from the user's file."""
    settings = experiment.prefixes(name)
    if "source" not in settings:
        templates = sample_prefixes(model(), **settings)
    elif local := experiment.files.local(settings["source"]):
        templates = read_prefixes(Path(local[0]))
    else:
        source = settings["source"]
        raise InputError(f"config: sources.{source}: expected prefixes in a file on this machine")
    parquet.write([{"template": one} for one in templates], path, "prefixes", {})


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
