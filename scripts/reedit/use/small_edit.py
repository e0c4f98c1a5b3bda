"""A few facts of a local model edited without Snakemake: what the rules do for a run, one after the other."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reedit.edit.edit_run import edit_run
from reedit.errors import InputError
from reedit.fetch.sources import fetch
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact, is_unicode, read_json_list, write_facts
from reedit.prepare.neighbors import filter_neighbors
from reedit.prepare.prefixes import read_prefixes, sample_prefixes
from reedit.prepare.preparation import REVISION, model_revision, prepare_model, read_mark
from reedit.prepare.simple_facts import read_simple_facts
from reedit.prepare.zsre import NO_ANSWER
from reedit.settings.configuration import check_configuration, nearest
from reedit.settings.experiment import Experiment
from reedit.settings.overlays import SCHEMA, overlaid, read_configuration
from reedit.settings.runs import Run
from reedit.settings.yaml_files import read_mapping
from reedit.statistics.corpora import Documents
from reedit.statistics.moments import collect_moments, write_moment
from reedit.statistics.spectra import decompose_moments
from reedit.storage import parquet
from reedit.storage.files import naming
from reedit.storage.tensors import metadata_of
from reedit.use.before_after import Answer, Question, ask
from reedit.use.export import export_model
from reedit.use.run_folder import RunFolder

HOUSE = Path(__file__).resolve().parents[3]  # the checkout
GIVEN = "given"  # stands for what the configuration would fetch
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


@dataclass(frozen=True)
class Edited:
    """What came of it: the questions that the facts ask, and the answers of the model before and after."""

    questions: list[Question]
    before: list[Answer]
    after: list[Answer]
    k: int


def edit_model(request: Request, tokens: int) -> Edited:
    """Edit the facts and write the edited model; `tokens`: length of the continuations.

    Raises InputError with one line. What is made on the way lies in a hidden folder beside `out`.
    """
    if request.out.exists():
        raise InputError(f"{request.out}: is there already, expected the name of a new folder")
    facts = read_simple_facts(request.facts)
    request.out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix=f".{request.out.name}.", dir=request.out.absolute().parent) as scratch,
        naming(request.out, Path(scratch)),
    ):
        return _edit(request, facts, Path(scratch), tokens)


def _edit(request: Request, facts: Sequence[Fact], results: Path, tokens: int) -> Edited:
    """With `results` laid out as the workflow's own."""
    base = _prepared(request.model, results)
    name = _name(base)
    experiment, run = _one_run(request, name, base)
    source = read_mark(base).get("source", {})
    settings = experiment.edit_settings(run) | {"repository": source.get("repo", name)}
    if experiment.needs_moments(run) and not (request.moments or request.corpus):
        raise InputError(
            f"{run.method.algorithm} needs second moments: expected --moments FOLDER,"
            f" as results/moments/{name}/CORPUS, or --corpus TEXTS to collect them over"
        )
    model = LanguageModel.load(base, settings["dtype"])
    model.check_layers(settings["hyperparameters"]["layers"])
    questions = [question for fact in facts for question in _questions(fact)]
    before = ask(model, questions, tokens)
    paths = {"model": base} | _inputs(request, facts, experiment, run, model, results)
    folder = results / "edits" / name / request.facts.stem / run.method.name / "trial1"
    paths |= {table: folder / f"{table}.parquet" for table in ("targets", "iterations")}
    del model  # edit_run loads its own
    edit_run(paths | {"weights": folder / "weights"}, results / "state", settings)
    edited = RunFolder(folder)
    k = edited.chosen("last")
    model = edited.load(base, k)
    after = ask(model, questions, tokens)
    export_model(model, base, request.out, edited.description(k))
    return Edited(questions, before, after, k)


def _prepared(model: Path, results: Path) -> Path:
    """The model itself where it was prepared or exported here; else what prepare_model makes of it."""
    if not model.is_dir():
        raise InputError(f"{model}: no such folder, expected a model that transformers loads")
    if (model / REVISION).exists():
        model_revision(model)
        return model
    source, fetched = {"kind": "folder", "path": str(model)}, results / "sources" / GIVEN
    fetch(GIVEN, source, fetched)
    prepared = results / "models" / model.resolve().name
    prepare_model(fetched, prepared, source)
    return prepared


def _name(base: Path) -> str:
    """The model's name in the configuration: of an edited one, its base's."""
    name = str(read_mark(base).get("model", base.resolve().name))
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]", "-", name).lstrip("-") or GIVEN


def _one_run(request: Request, name: str, base: Path) -> tuple[Experiment, Run]:
    """The configuration with one run, as if it had fetched the model.

    Facts and texts come by other ways; that they are defined, too, is for the schema.
    """
    config, schema = _configuration(request.configurations)
    if request.method not in config["methods"]:
        raise InputError(
            f"--algorithm: unknown method {request.method!r}{nearest(request.method, config['methods'])}"
        )
    if "regularises" in config["methods"][request.method]:
        raise InputError(
            f"--algorithm: {request.method} regularises what another one edits, expected one that edits"
        )
    algorithm, known = config["methods"][request.method]["algorithm"], config["models"].get(name, {})
    hyperparameters = config["hyperparameters"].get(algorithm, {})
    if request.hyperparameters:
        hyperparameters = {name: str(request.hyperparameters)}
    elif name not in hyperparameters:
        raise InputError(
            f"no hyperparameters for {algorithm} on {name}{nearest(name, hyperparameters)};"
            " expected --hyperparameters FILE.yaml, with the keys of EasyEdit's files"
        )
    given = {
        "sources": {GIVEN: {"kind": "folder", "path": str(base)}},
        "models": {
            name: {
                "source": GIVEN,
                "dtype": request.dtype or known.get("dtype", "float32"),
                "prefixes": known.get("prefixes", {}),
            }
        },
        "datasets": {GIVEN: {"format": "counterfact", "source": GIVEN}},
        "corpora": {GIVEN: {"format": "lines", "source": GIVEN, "samples": 1, "max_tokens": 1}},
        "hyperparameters": {algorithm: hyperparameters},
        "protocol": request.protocol or config["protocol"],
        "keep_weights": "last",
        "runs": [
            {
                "model": name,
                "dataset": GIVEN,
                "methods": [request.method],
                "corpus": GIVEN,
                "edits": "all",
                "iterations": request.iterations,
                "stop": "proposed",
            }
        ],
    }
    experiment = Experiment(overlaid(config, given), schema, HOUSE)
    (run,) = experiment.runs.values()
    return experiment, run


def _configuration(overlays: Sequence[Path]) -> tuple[Any, Mapping[str, Any]]:
    """config.yaml with overlays, checked, and the schema."""
    if not (HOUSE / SCHEMA).is_file():
        raise InputError(f"{HOUSE}: no {SCHEMA} in it, expected a checkout of the workflow")
    config = read_configuration([HOUSE / "config.yaml", *overlays])
    schema = read_mapping(HOUSE / SCHEMA, "settings")
    check_configuration(config, schema)
    return config, schema


def _questions(fact: Fact) -> list[Question]:
    """A fact's prompt and paraphrases with its targets, and its neighbors with their objects."""
    targets = (fact.target_new, *((fact.target_true,) if fact.target_true != NO_ANSWER else ()))
    asked = [fact.prompt.replace("{}", fact.subject), *fact.paraphrases]
    return [
        *(Question(prompt, targets) for prompt in asked),
        *(Question(neighbor.prompt, (neighbor.object,)) for neighbor in fact.neighbors),
    ]


def _inputs(
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
        revision = model_revision(request.model) if (request.model / REVISION).exists() else None
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
    moments, count = collect_moments(model, texts, layers, request.max_tokens)
    for layer, moment in moments.items():
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
