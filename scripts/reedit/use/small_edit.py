"""A few facts of a local model edited without Snakemake: what the rules do for a run, one after the other."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reedit.edit.job.edit_run import edit_run
from reedit.edit.job.inputs import load_model
from reedit.errors import InputError, nearest
from reedit.methods.algorithms import ALGORITHMS
from reedit.models.folder import check_folder
from reedit.prepare.datasets import load_facts
from reedit.prepare.facts import NO_ANSWER, Fact
from reedit.prepare.preparation import own_mark, prepare_model, read_mark
from reedit.prepare.reading import Dataset
from reedit.prepare.trials import trial_facts
from reedit.settings.configuration import check_configuration
from reedit.settings.experiment import Experiment
from reedit.settings.overlays import overlaid, read_configuration
from reedit.settings.runs import Run
from reedit.storage.files import naming
from reedit.use.before_after import Answer, Question, ask
from reedit.use.export import export_model
from reedit.use.run_folder import RunFolder
from reedit.use.small_inputs import Request, check_facts, make_inputs

HOUSE = Path(__file__).resolve().parents[3]  # the checkout
GIVEN = "given"  # stands for what the configuration would fetch


@dataclass(frozen=True)
class Edited:
    """What came of it: the questions that the facts ask, and the answers of the model before and after."""

    questions: list[Question]
    before: list[Answer]
    after: list[Answer]
    k: int
    failed: list[str]  # a line for each fact that the edited model does not say


def edit_model(request: Request, tokens: int) -> Edited:
    """Edit the facts and write the edited model; `tokens`: length of the continuations.

    Raises InputError with one line. What is made on the way lies in a hidden folder beside `out`.
    """
    if os.path.lexists(request.out):  # a link to nothing, too
        raise InputError(f"{request.out}: is there already, expected the name of a new folder")
    check_apart(request.out, request.model)
    dataset = load_facts(request.facts, "drop")  # what cannot be read is told with what cannot be edited
    request.out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix=f".{request.out.name}.", dir=request.out.absolute().parent) as scratch,
        naming(request.out, Path(scratch)),
    ):
        return _edit(request, dataset, Path(scratch), tokens)


def _edit(request: Request, dataset: Dataset, results: Path, tokens: int) -> Edited:
    """With `results` laid out as the workflow's own."""
    base = prepared(request.model, results)
    name = shown_name(base)
    experiment, run = _one_run(request, name, base)
    source = read_mark(base).get("source", {})
    settings = replace(experiment.edit_settings(run), repository=source.get("repo", name))
    if experiment.needs_moments(run) and not (request.moments or request.corpus):
        raise InputError(
            f"{run.method.algorithm} needs second moments: expected --moments FOLDER,"
            f" as results/moments/{name}/CORPUS, or --corpus TEXTS to collect them over"
        )
    pool = check_facts(dataset, experiment, run, base)
    model = load_model(base, settings)
    if tokens >= (longest := model.model.config.max_position_embeddings):
        raise InputError(f"--tokens {tokens}: the model reads at most {longest} tokens, expected fewer")
    paths = {"model": base} | make_inputs(request, pool, experiment, run, model, results)
    facts, _ = trial_facts(paths, 1)
    questions = [question for fact in facts for question in _questions(fact)]
    before = ask(model, questions, tokens)
    folder = results / "edits" / name / request.facts.stem / run.method.name / "trial1"
    paths |= {table: folder / f"{table}.parquet" for table in ("targets", "iterations")}
    del model  # edit_run loads its own
    edit_run(paths | {"weights": folder / "weights"}, results / "state", settings)
    edited = RunFolder(folder)
    k = edited.chosen("last")
    model = edited.load(base, k)
    after = ask(model, questions, tokens)
    export_model(model, base, request.out, edited.description(k))
    said = {question.prompt: answer for question, answer in zip(questions, after, strict=True)}
    failed = [fact for fact in facts if not said[fact.text].targets[0].said]
    lines = [
        f"case {fact.case_id}: {fact.text!r} goes on with {said[fact.text].continuation!r},"
        f" expected {fact.target_new!r}"
        for fact in failed
    ]
    return Edited(questions, before, after, k, lines)


def check_apart(out: Path, model: Path) -> None:
    """Raise InputError where what is made would lie in the model's folder."""
    if out.resolve().is_relative_to(model.resolve()):
        raise InputError(f"{out}: lies in {model}, which is not written to")


def prepared(model: Path, results: Path) -> Path:
    """The model itself where it was prepared or exported here; else what prepare_model makes of it."""
    if own_mark(model):
        check_folder(model)
        return model
    made = results / "models" / called(model)
    if not made.exists():
        prepare_model(model, made, {"kind": "folder", "path": str(model)})
    return made


def called(model: Path) -> str:
    """A folder's name as the user says it, links not followed; of the hub's snapshots, their model's."""
    path = Path(os.path.abspath(model))
    if path.parent.name == "snapshots":
        return path.parents[1].name.rpartition("--")[2]
    return path.name or GIVEN


def shown_name(base: Path) -> str:
    """The model's name in the configuration: of an edited one, its base's."""
    name = str(read_mark(base).get("model", called(base)))
    return re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9._-]", "-", name).lstrip("-") or GIVEN


def _one_run(request: Request, name: str, base: Path) -> tuple[Experiment, Run]:
    """The configuration with one run, as if it had fetched the model.

    Facts and texts come by other ways; that they are defined, too, is for the definitions.
    """
    config = configuration(request.configurations)
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
                "chat": known.get("chat", False) if request.chat is None else request.chat,
                "prefixes": known.get("prefixes", {}),
            }
        },
        "datasets": {GIVEN: {"format": "counterfact", "source": GIVEN, "separator": request.separator}},
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
                # without targets nobody knows when to stop
                "iterations": request.iterations or (5 if ALGORITHMS[algorithm].finds_targets else 1),
                "stop": "proposed",
                "misaligned": "drop" if request.skip else "error",
                "first_token": request.first_token,
                **({"subject_end": request.subject_end} if request.subject_end else {}),
            }
        ],
    }
    experiment = Experiment(overlaid(config, given), HOUSE)
    (run,) = experiment.runs.values()
    return experiment, run


def configuration(overlays: Sequence[Path]) -> dict[str, Any]:
    """config.yaml with overlays, checked."""
    if not (HOUSE / "config.yaml").is_file():
        raise InputError(f"{HOUSE}: no config.yaml in it, expected a checkout of the workflow")
    config = read_configuration([HOUSE / "config.yaml", *overlays])
    check_configuration(config)
    return config


def _questions(fact: Fact) -> list[Question]:
    """A fact's prompt and paraphrases with its targets, and its neighbors with their objects."""
    targets = (fact.target_new, *((fact.target_true,) if fact.target_true != NO_ANSWER else ()))
    asked = [fact.text, *fact.paraphrases]
    return [
        *(Question(prompt, targets) for prompt in asked),
        *(Question(neighbor.prompt, (neighbor.object,)) for neighbor in fact.neighbors),
    ]
