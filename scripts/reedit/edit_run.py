"""The editing job of one run, from its input files to its output files."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from reedit import easyedit, parquet
from reedit.algorithms import ALGORITHMS
from reedit.edits import make_edit
from reedit.errors import InputError
from reedit.facts import Neighbor
from reedit.files import link_or_copy
from reedit.hyperparameters import check_for_model
from reedit.iteration import iterate, kept_iterations
from reedit.language_model import LanguageModel
from reedit.moments import read_moment
from reedit.preparation import model_revision
from reedit.preservation import factorise
from reedit.provenance import digest, processor_name, provenance
from reedit.ranks import join
from reedit.resumption import Iteration, State
from reedit.roles import choose_assistants
from reedit.schedule import Schedule
from reedit.trials import trial_facts

Paths = Mapping[str, Path]
Settings = Mapping[str, Any]


def edit_run(paths: Paths, state_folder: Path, settings: Settings) -> None:
    """Edit the cases of one trial and write targets, iterations and weights.

    `paths`: model, facts, split, prefixes, where the algorithm needs them moments, where neighbors were
    filtered neighbors; outputs targets, iterations, weights. An interrupted job goes on from `state_folder`.
    In processes that share the job (ranks.py) the leading one writes.
    """
    ranks = join()
    published = None  # the engine is ours
    if settings["engine"]["name"] == "easyedit":
        easyedit.require_cuda()
        published = easyedit.load_published(Path(settings["engine"]["path"]), settings["algorithm"])
    facts, rows = trial_facts(paths, settings["trial"])
    hyperparameters = settings["hyperparameters"]
    layers, algorithm = hyperparameters["layers"], ALGORITHMS[settings["algorithm"]]
    templates = [row["template"] for row in parquet.read(paths["prefixes"], "prefixes")]
    model = LanguageModel.load(paths["model"], settings["dtype"])
    model.check_layers(layers)
    rewrite_module = model.module_name("{}")
    check_for_model(hyperparameters, len(model.layers), rewrite_module)
    edits = []
    for fact in facts:
        if settings["assisting"] and fact.case_id not in rows:
            raise InputError(
                f"case {fact.case_id}: has no neighbor, expected {settings['assisting']} to assist"
            )
        chosen = choose_assistants(rows.get(fact.case_id, []), settings["assisting"], settings["choice"])
        assistants = [Neighbor(row["subject"], row["prompt"], row["object"]) for row in chosen]
        edits.append(
            make_edit(
                *(model.tokenizer, fact, templates, assistants, settings["prefixed"], settings["protocol"]),
                spaced=algorithm.released_space(settings["repository"]),
            )
        )
        for weighted in edits[-1].labelled:
            model.check_length(weighted.row.ids)
    factors, tokens = {}, None
    if "moments" in paths:
        factors, tokens = _read_factors(paths["moments"], layers, model)
    plan = Schedule(
        algorithm=algorithm,
        hyperparameters=hyperparameters,
        protocol=settings["protocol"],
        iterations=settings["iterations"],
        stop=settings["stop"],
        extend_to=settings["extend_to"],
        nonfinite=settings["nonfinite"],
    )
    made_by = provenance(
        settings,
        {
            "model_revision": model_revision(paths["model"]),
            "hyperparameters_hash": digest(hyperparameters),
            "corpus": paths["moments"].name if tokens else None,
            "corpus_tokens": tokens,
            "prefix_templates": len(templates),
            "edits": len(edits),
            "device": model.device.type,
        },
    )
    # what is complete stays so under another policy for what comes
    lasting = {name: value for name, value in made_by.items() if name not in ("nonfinite", "keep_weights")}
    fingerprint = digest([lasting, _content(paths)])
    state = ranks.in_turn(lambda: State(state_folder, fingerprint))
    if published:
        with easyedit.scratch_folder(state) as scratch:
            engine = easyedit.Engine(
                *(published, model, plan, templates, paths["model"], settings["repository"]),
                moments=paths.get("moments"),
                scratch=scratch,
            )
            done = easyedit.iterate_published(engine, edits, facts, plan, state)
    else:
        done = iterate(model, edits, factors, plan, state, ranks)
    if ranks.leads:
        # not part of the state's digest: a job may go on, from its state, on another machine
        made_by |= {"device_name": _device_name(model.device), "processes": ranks.count}
        _write(paths, done, state, settings["keep_weights"], made_by)
    ranks.leave()


def _write(
    paths: Paths, done: Sequence[Iteration], state: State, keep_weights: str, made_by: Mapping[str, Any]
) -> None:
    """The job's output files; its state is not needed any more."""
    targets = [row for iteration in done for row in iteration.targets]
    made_by = {**made_by, "dropped": _dropped(targets)}
    iterations = [iteration.row for iteration in done]
    paths["weights"].mkdir(parents=True, exist_ok=True)
    for k in kept_iterations(iterations, keep_weights):
        place = paths["weights"] / f"k{k}.safetensors"
        place.unlink(missing_ok=True)
        link_or_copy(state.weights(k), place)
    parquet.write(targets, paths["targets"], "targets", made_by)
    parquet.write(iterations, paths["iterations"], "iterations", made_by)
    state.discard()


def _dropped(targets: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many cases were dropped from an iteration, their numbers not finite, by k."""
    return dict(Counter(str(row["k"]) for row in targets if row["ppl_target"] == math.inf))


def _device_name(device: torch.device) -> str:
    """What a device is sold as: "NVIDIA A100-SXM4-80GB", or the processor's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


def _content(paths: Paths) -> dict[str, list[float]]:
    """Size and modification time of the inputs, to tell whether a state belongs to them."""
    inputs = ("facts", "split", "prefixes", "moments", "neighbors", "model")
    found = {name: paths[name].stat() for name in inputs if name in paths}
    return {name: [stat.st_size, stat.st_mtime] for name, stat in found.items()}


def _read_factors(
    folder: Path, layers: list[int], model: LanguageModel
) -> tuple[dict[int, torch.Tensor], int]:
    """The factorised moments of `layers`, [key, key] each, and how many tokens they were taken over."""
    keys, tokens = model.weight(layers[0]).shape[1], 0
    factors = {}
    for layer in layers:
        path = folder / f"{layer}.safetensors"
        moment, metadata = read_moment(path)
        if tuple(moment.shape) != (keys, keys):
            found = tuple(moment.shape)
            raise InputError(f"{path}: moment of shape {found}, expected ({keys}, {keys}) for this model")
        tokens = int(metadata["count"])
        # kept in the machine's own memory: 2 GB each for keys as wide as GPT-J's
        factors[layer] = factorise(moment.to(model.device), layer, tokens).cpu()
    return factors, tokens
