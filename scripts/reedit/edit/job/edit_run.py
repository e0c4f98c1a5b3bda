"""The editing job of one run, from its input files to its output files."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from reedit.edit.easyedit import engine as easyedit
from reedit.edit.editor import Editor
from reedit.edit.iteration import iterate
from reedit.edit.job.finished import begin, leave, take_up
from reedit.edit.job.inputs import (
    Paths,
    left_out,
    load_model,
    moment_files,
    read_edits,
    read_factors,
    read_templates,
    whole_cases,
)
from reedit.edit.job.settings import EditSettings
from reedit.edit.journal import FORMAT, Iteration, Journal, Unedited
from reedit.edit.kept_weights import State, edits_written, kept_iterations
from reedit.edit.ranks import join
from reedit.edit.workers import Workers
from reedit.jobs.device import computes_in_bfloat16
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.storage import parquet
from reedit.storage.checkpoint import fingerprint
from reedit.storage.checksums import contents
from reedit.storage.files import file_sha256, link_or_copy
from reedit.storage.provenance import digest, processor_name, provenance

# provenance that no complete iteration depends on
OF_THE_REST = ("keep_weights", "iterations", "extend_to", "stop", "left_out")


def edit_run(paths: Paths, state_folder: Path, settings: EditSettings) -> None:
    """Edit the cases of one trial and write targets, iterations and weights.

    `paths`: model, facts, split, prefixes, where the algorithm needs them moments or spectra, where neighbors
    were filtered neighbors; outputs targets, iterations, weights; unedited, where jobs of the same code share
    what OPTIMIZATION finds at theta_1; finished, where a job that has ended leaves what another one goes on
    from. An interrupted job goes on from `state_folder`. In processes that share the job (ranks.py) the
    leading one writes.
    """
    ranks = join()
    published = None  # the engine is ours
    if settings.engine["name"] == "easyedit":
        published = easyedit.load_published(Path(settings.engine["path"]), settings.algorithm)
    recipe, templates = settings.recipe, read_templates(paths)
    model = load_model(paths["model"], settings)
    facts, edits = read_edits(paths, settings, model, templates)
    recipe = replace(recipe, whole=whole_cases(paths, facts))
    factors, tokens = read_factors(paths, recipe, model)
    light = light_copy(model, settings)
    made_by = provenance(
        settings.told,
        {
            "model_revision": model_revision(paths["model"]),
            "hyperparameters_hash": digest(settings.hyperparameters),
            "corpus": (paths.get("moments") or paths["spectra"]).name if tokens else None,
            "corpus_tokens": tokens,
            "prefix_templates": len(templates),
            "edits": len(edits),
            **({"batches": list(map(len, recipe.batches(len(edits))))} if recipe.whole else {}),
            "left_out": left_out(paths),
            "device": model.device.type,
            "optimized_in": settings.dtype if light is None else "bfloat16",
        },
    )
    # what is complete stays so whatever is to come, and whatever else is in the files that were read
    lasting = {name: value for name, value in made_by.items() if name not in OF_THE_REST}
    lasting |= {"journal": FORMAT, "read": [digest([asdict(one) for one in read]) for read in (facts, edits)]}
    if recipe.whole:
        lasting["whole"] = recipe.whole
    lasting["moments"] = [file_sha256(path) for path in moment_files(paths, recipe.layers).values()]
    mark = fingerprint(lasting, {"model": paths["model"]})
    unedited = _unedited(paths, settings, made_by, "/".join(state_folder.parts[-4:]))
    ended = paths.get("finished")
    if ranks.leads:
        take_up(state_folder, ended, mark)
    make = partial(Journal, state_folder, mark, unedited)
    journal = ranks.in_turn(lambda: begin(make, recipe, settings.keep_weights))
    editor = Editor(model, recipe, factors, workers=Workers(journal, ranks), light=light)
    if published:
        with easyedit.scratch_folder(journal) as scratch:
            material = easyedit.Material(
                *(paths["model"], settings.repository, templates, paths.get("moments"), scratch)
            )
            done = iterate(editor, edits, easyedit.Engine(published, editor, facts, material).take)
    else:
        done = iterate(editor, edits)
    if ranks.leads:
        # not part of the journal's fingerprint: a job may go on on another machine
        made_by |= {"device_name": device_name(model.device), "processes": ranks.count}
        kept = _write(paths, done, journal, settings.keep_weights, made_by)
        leave(journal, ended, len(done), kept)
    ranks.leave()


def _unedited(paths: Paths, settings: EditSettings, made_by: Mapping[str, Any], run: str) -> Unedited | None:
    """What jobs that share targets at theta_1 have in common: the model, how it is loaded, and the code."""
    if "unedited" not in paths or not settings.code:
        return None
    common = {
        name: made_by[name]
        for name in ("model_revision", "device", "packages", "dtype", "optimized_in", "code")
    }
    common["files"] = contents(paths["model"])
    return Unedited(paths["unedited"], digest(common), run)


def light_copy(model: LanguageModel, settings: EditSettings) -> LanguageModel | None:
    """What a fast run optimises on: the model in bfloat16, where that is faster here than what it is in."""
    lighter = settings.dtype in ("float32", "tfloat32") and computes_in_bfloat16(model.device)
    return model.lighter(torch.bfloat16) if settings.speed == "fast" and lighter else None


def device_name(device: torch.device) -> str:
    """What a device is sold as: "NVIDIA A100-SXM4-80GB", or the processor's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def _write(
    paths: Paths, done: Sequence[Iteration], journal: Journal, keep_weights: str, made_by: Mapping[str, Any]
) -> list[int]:
    """The job's output files; the iterations whose weights are among them."""
    targets = [row for iteration in done for row in iteration.targets]
    made_by = {**made_by, "dropped": _dropped(targets)}
    iterations = [iteration.row for iteration in done]
    paths["weights"].mkdir(parents=True, exist_ok=True)
    kept = kept_iterations(iterations, keep_weights)
    for k in kept:
        along = {State(k, edits_written(path)): path for path in journal.checkpoints(k)}
        for state, path in {State(k): journal.weights(k), **along}.items():
            (paths["weights"] / state.file).unlink(missing_ok=True)
            link_or_copy(path, paths["weights"] / state.file)
    parquet.write(targets, paths["targets"], "targets", made_by)
    parquet.write(iterations, paths["iterations"], "iterations", made_by)
    return kept


def _dropped(targets: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many cases were dropped from an iteration, their numbers not finite, by k."""
    return dict(Counter(str(row["k"]) for row in targets if row["ppl_target"] == math.inf))
