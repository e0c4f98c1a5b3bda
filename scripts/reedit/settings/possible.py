"""What no job of an experiment can do, told when it is read, as far as files on this machine tell it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reedit.errors import InputError
from reedit.methods.hyperparameters import check_for_model
from reedit.models.layouts import LAYERS, LAYOUTS, POSITIONS, number_in
from reedit.prepare.facts import Fact
from reedit.prepare.reading import Dataset
from reedit.prepare.roles import is_eligible
from reedit.settings.definitions import LocalSource, Texts
from reedit.settings.needs import Needs
from reedit.settings.runs import Entry, Run


def check_possible(asked: Needs, datasets: Mapping[str, Dataset]) -> None:
    """Raise InputError for more edits than cases, for layers that are not there, for texts that are too long.

    `datasets`: those whose files are on this machine.
    """
    for entry in asked.entries:
        if entry.dataset in datasets:
            _check_cases(entry, datasets[entry.dataset])
    for name, dataset in datasets.items():
        if asked.asked.datasets[name].groups and not dataset.items:
            raise InputError(f"config: datasets.{name}.groups: true, but none of its cases has groups")
    for model in asked.models:
        _check_model(asked, model)


def _check_cases(entry: Entry, dataset: Dataset) -> None:
    wanted = 1 if entry.edits == "all" else entry.edits * entry.trials
    cases = len(dataset.facts)
    asks = f"config: runs[{entry.index}]: {entry.trials} x {entry.edits} edits of {entry.dataset}, which has"
    if wanted > cases:
        raise InputError(f"{asks} {cases} cases")
    count = max((method.assisting for method in entry.methods), default=0)
    if not (count or entry.eligible) or dataset.fixed_roles:
        return
    able = sum(_may_serve(fact, entry) for fact in dataset.facts)
    if wanted > able:
        told = (
            f"{able} of {cases} with {count} neighbors of known subject to assist"
            if count
            else f"{able} of {cases}"
        )
        left = ", one more to evaluate and two in all, as eligible: true asks" if entry.eligible else ""
        raise InputError(f"{asks} {told}{left}")


def _may_serve(fact: Fact, entry: Entry) -> bool:
    """Whether a case could be edited if its neighbors all passed the filter."""
    known = [bool(neighbor.subject or neighbor.given) for neighbor in fact.neighbors]
    if not entry.eligible:
        return sum(known) >= max([0, *(count for count, _ in entry.assisting)])
    rows = [
        {"kept": True, "subject": "known" if one else None, "neighbor": place, "order": place}
        for place, one in enumerate(known)
    ]
    return is_eligible(rows, entry.assisting)


@dataclass(frozen=True)
class _Sizes:
    """What a model's own folder says of it; None for what it does not say."""

    layers: int | None
    positions: int | None
    kind: str | None


def _sizes(asked: Needs, model: str) -> _Sizes:
    source = asked.asked.sources[asked.asked.models[model].source]
    here = isinstance(source, LocalSource) and source.kind == "folder"
    told = _json_object(asked, source.path) if here else {}
    kind = told.get("text_config", told)
    kind = kind.get("model_type") if isinstance(kind, dict) else None
    return _Sizes(number_in(told, LAYERS), number_in(told, POSITIONS), kind)


def _json_object(asked: Needs, folder: str) -> dict[str, Any]:
    """The config.json of a folder; nothing where it is none, which the model's own job says better."""
    try:
        told = json.loads((asked.files.found(folder) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _check_model(asked: Needs, model: str) -> None:
    sizes = _sizes(asked, model)
    runs = [run for run in asked.runs.values() if run.entry.model == model]
    _check_layers(asked, model, runs, sizes)
    if sizes.positions:
        _check_lengths(asked, model, runs, sizes.positions)


def _check_layers(asked: Needs, model: str, runs: list[Run], sizes: _Sizes) -> None:
    for run in runs:
        hyperparameters = asked.hyperparameters(run)
        where = f"config: hyperparameters.{run.method.algorithm}.{model}"
        if sizes.layers and (last := hyperparameters["layers"][-1]) >= sizes.layers:
            raise InputError(f"{where}: layers: found {last}, the model has layers 0 to {sizes.layers - 1}")
        if sizes.layers and sizes.kind in LAYOUTS:
            try:
                check_for_model(hyperparameters, sizes.layers, LAYOUTS[sizes.kind].module_name("{}"))
            except InputError as error:
                raise InputError(f"{where}: {str(error).removeprefix('hyperparameters: ')}") from error


def _check_lengths(asked: Needs, model: str, runs: list[Run], positions: int) -> None:
    takes = f"expected at most the {positions} that {model} takes"
    for owner in dict.fromkeys(run.prefixes for run in runs):
        tokens = asked.prefixes(owner).get("tokens", 0)
        if (longest := max(tokens) if isinstance(tokens, list) else tokens) > positions:
            section = "models" if owner == model else "methods"
            name = owner.partition("/")[2] or model
            raise InputError(f"config: {section}.{name}.prefixes.tokens: found {longest}, {takes}")
    for corpus in dict.fromkeys(run.entry.corpus for run in runs if asked.needs_moments(run)):
        texts = asked.asked.corpora[corpus]
        if isinstance(texts, Texts) and texts.max_tokens > positions:
            raise InputError(f"config: corpora.{corpus}.max_tokens: found {texts.max_tokens}, {takes}")
