"""The job that tunes one algorithm on one model, from its input files to the rows of all that was tried."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reedit.edit.easyedit.engine import module_names
from reedit.edit.edits import Rows
from reedit.edit.job.inputs import read_templates
from reedit.errors import InputError
from reedit.evaluate.fitness import CaseFitness, longest_text
from reedit.evaluate.probes import make_probes
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.tunable import tunable
from reedit.models.language_model import LanguageModel
from reedit.models.tokenizers import load_tokenizer
from reedit.models.tokens import Wording
from reedit.prepare.apart import apart
from reedit.prepare.facts import Fact, by_fact, read_facts, read_together
from reedit.prepare.preparation import model_revision
from reedit.prepare.settings import SplitSettings
from reedit.prepare.splits import fitting
from reedit.prepare.tracing import NothingKnown
from reedit.statistics.corpora import fetched_documents
from reedit.storage import parquet
from reedit.storage.checkpoint import begin_state, fingerprint
from reedit.storage.files import write_text
from reedit.storage.provenance import provenance
from reedit.storage.schemas import SCHEMAS
from reedit.tune.bench import Bench
from reedit.tune.budget import Budget
from reedit.tune.factors import Factors
from reedit.tune.layers import by_gradient, by_tracing, candidates, windows
from reedit.tune.objective import Objective
from reedit.tune.settings import TuneSettings
from reedit.tune.tuning import Tuning

NEIGHBORS = 5  # of a fact, that its specificity is seen by

TRACED = {"facts": 10, "samples": 1, "noise": 3}  # see prepare/tracing.py: enough to tell windows apart
Paths = Mapping[str, Path]


def tune_hyperparameters(
    paths: Paths,
    taken: Sequence[Path],
    state: Path,
    settings: TuneSettings,
    code: Mapping[str, str] | None = None,
) -> None:
    """Find hyperparameters, and write the rows of all that was tried; the last ones tell what was found.

    `paths`: model, facts, prefixes, source of the corpus; output rows. `taken`: splits whose cases are not to
    be seen. What was tried before is in `state`: a job that was cut off, or is given more time, goes on.
    """
    facts, held_out = facts_for(paths["facts"], taken, settings, paths["model"])
    model = LanguageModel.load(paths["model"], settings.dtype, wording=settings.wording)
    cases = {"searched": [f.case_id for f in facts], "held_out": [f.case_id for f in held_out]}
    told = {"model_revision": model_revision(paths["model"]), "device": model.device.type, **cases}
    told["modules"] = module_names(model, settings.algorithm)
    if ALGORITHMS[settings.algorithm].finds_targets:
        told["modules"] |= {"v_loss_layer": len(model.layers) - 1}
    made_by = provenance(asdict(settings), code or {}, told)
    begin_state(state, _mark(made_by, paths))
    texts, corpus = fetched_documents(paths["source"], settings.corpus), settings.corpus
    factors = Factors(model, texts, corpus["max_tokens"], state, corpus.get("tokens"))
    templates = read_templates(paths)
    bench, other = (_bench(some, templates, factors, settings) for some in (facts, held_out))
    budget = Budget(settings.minutes, settings.edits, state / "spent.json")
    objective = Objective(settings.reach, settings.maximise)
    with budget.spending():
        compared = _windows(bench, facts, settings, state)
    rows = Tuning(bench, objective, budget, state, settings.seed).run(compared, other, settings.current)
    made_by |= {"spent_seconds": budget.spent_seconds, "corpus_tokens": factors.counted}
    factors.discard()
    parquet.write([_complete(row) for row in rows], paths["rows"], "tuning", made_by)


def _complete(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with all columns, empty where nothing was measured."""
    said = {name: row.get(name) for name in SCHEMAS["tuning"].names}
    return {name: None if value != value else value for name, value in said.items()}  # NaN


def _mark(made_by: Mapping[str, Any], paths: Paths) -> str:
    """What is tried depends on; not on how long it may go on."""
    lasting = {name: value for name, value in made_by.items() if name not in ("minutes", "edits", "windows")}
    return fingerprint(lasting, {name: paths[name] for name in ("model", "facts", "prefixes", "source")})


def facts_for(
    path: Path, taken: Sequence[Path], settings: TuneSettings, model: Path
) -> tuple[list[Fact], list[Fact]]:
    """The facts that are searched with, and as many that are held out, none of them of the splits `taken`.

    Raises InputError where too few of the share that is kept apart are left.
    """
    facts = {fact.case_id: fact for fact in read_facts(path)}
    seen = {row["case_id"] for split in taken for row in parquet.read(split, "split")}
    together = read_together(path)
    kept = [facts[case_id] for case_id in apart(list(facts), settings.share, settings.seed, together)]
    free = [fact for fact in kept if fact.case_id not in seen]
    if len(free) < 2:
        raise InputError(
            f"{path}: {len(kept)} of {len(facts)} cases are for tuning (tuning.share), of which runs"
            f" have taken {len(kept) - len(free)}; expected at least 2 (runs: apart: true leaves them to it)"
        )
    wording = Wording.of(load_tokenizer(model), **settings.wording)
    fitness = CaseFitness(wording, _asked(settings), longest_text(model))
    fit, _ = fitting(free, {}, fitness)
    some = min(settings.facts, len(fit) // 2)
    if some < settings.facts:
        told = "tuning: %d facts are there to search with and as many held out, %d were asked for"
        logging.getLogger("reedit").warning(told, some, settings.facts)
    if not some:
        raise InputError(f"{path}: {len(fit)} cases for tuning, expected at least 2")
    searched, case_of = fit[:some], by_fact(together)
    seen = {one for fact in searched for one in case_of.get(fact.case_id, ())}
    held_out = [fact for fact in fit[some:] if fact.case_id not in seen][:some]
    if not held_out:
        raise InputError(
            f"{path}: all facts for tuning are of one case, expected two (facts of a case stay together)"
        )
    return searched, held_out


def _bench(
    facts: Sequence[Fact], templates: Sequence[str], factors: Factors, settings: TuneSettings
) -> Bench:
    model = factors.model
    spaced = ALGORITHMS[settings.algorithm].released_space(settings.repository)
    rows = Rows(model.wording, settings.protocol, templates, spaced, settings.subject_end)
    neighbors = {fact.case_id: fact.neighbors[:NEIGHBORS] for fact in facts}
    probes = make_probes(model, facts, neighbors, settings.protocol)
    edits = [rows.edit(fact) for fact in facts]
    return Bench(model, settings.algorithm, settings.protocol, edits, probes, factors)


def _windows(bench: Bench, facts: Sequence[Fact], settings: TuneSettings, state: Path) -> list[list[int]]:
    """The windows of layers to be compared, as they were chosen first."""
    kept = state / "windows.json"
    if not kept.exists():
        model = bench.model
        every = windows(len(model.layers), tunable(bench.algorithm).width)
        asked = {**TRACED, "window": len(every[0]), "seed": settings.seed}
        traced = _traced(model, facts, asked)
        chosen = candidates(every, traced, by_gradient(model, bench.edits), settings.windows)
        write_text(kept, json.dumps(chosen))
    return json.loads(kept.read_text())


def _traced(model: LanguageModel, facts: Sequence[Fact], asked: Mapping[str, Any]) -> Mapping[int, float]:
    """What restoring each window gives back; nothing where the model knows none of the facts."""
    try:
        return by_tracing(model, facts, asked)
    except NothingKnown as error:
        logging.getLogger("reedit").warning("tuning: %s; layers are compared by their gradients", error)
        return {}


def _asked(settings: TuneSettings) -> SplitSettings:
    return SplitSettings(
        subject_end=settings.subject_end,
        edits="all",
        misaligned="drop",
        protocols=[settings.protocol],
        wording=settings.wording,
        distinct_keys=ALGORITHMS[settings.algorithm].distinct_keys,
        one_by_one=ALGORITHMS[settings.algorithm].one_by_one,
        seed=settings.seed,
    )
