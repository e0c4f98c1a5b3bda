"""The entries of a configuration's `runs`, with all they name and checked, and the jobs of all of them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import PurePath
from typing import Any

from reedit.errors import InputError
from reedit.methods.recipe import OF_TARGETS, REGULARISERS
from reedit.settings.combinations import check_method
from reedit.settings.definitions import Config, EditingMethod
from reedit.settings.runs import Entry, Method, Run

TUNED = "results/hyperparameters"  # where tuning puts what it finds: {model}/{algorithm}.yaml


def entries_of(config: Config) -> list[Entry]:
    """All entries; raises InputError for a method that an entry cannot have."""
    return [_entry(config, index) for index in range(len(config.runs))]


def _entry(config: Config, index: int) -> Entry:
    run, dataset = config.runs[index], config.datasets[config.runs[index].dataset]
    said = {field.name: getattr(run, field.name) for field in fields(run)}
    said |= {name: said[name] or getattr(config, name) for name in ("protocol", "keep_weights", "nonfinite")}
    said["subject_end"] = run.subject_end or config.subject_end
    said["eligible"] = run.eligible if dataset.eligible is None else dataset.eligible
    if said["apart"] is None:
        said["apart"] = any(_tuned(config, name, run.model) for name in run.methods)
    said["methods"] = tuple(_method(config, name) for name in run.methods)
    entry = Entry(index=index, **said)
    for method in entry.methods:
        check_method(method, entry)
        if method.engine.name != "reedit" and (config.models[run.model].chat or dataset.separator != " "):
            raise InputError(
                f"config: runs[{index}]: {method.name} edits by {method.engine.name}, which knows neither"
                " chat templates nor separators; expected chat: false and a space"
            )
    return entry


def _tuned(config: Config, name: str, model: str) -> bool:
    """Whether the hyperparameters of a method and model are those that the workflow has tuned."""
    return is_tuned(config.hyperparameters.get(_method(config, name).algorithm, {}).get(model))


def is_tuned(hyperparameters: Mapping[str, Any] | str | None) -> bool:
    """Whether a value of the configuration's `hyperparameters` is a file that tuning makes."""
    named = isinstance(hyperparameters, str)
    return named and f"{TUNED}/" in PurePath(os.path.normpath(hyperparameters)).as_posix()


def _method(config: Config, name: str) -> Method:
    """A definition of `methods`, of one that regularises with what it regularises."""
    definition = config.methods[name]
    for one in definition.regularisers if isinstance(definition, EditingMethod) else [definition]:
        if wrong := sorted(set(one.options) - set(REGULARISERS[one.by])):
            raise InputError(f"config: methods.{name}.{wrong[0]}: not with by: {one.by}")
        if one is definition and one.by in OF_TARGETS:
            told = "acts on targets as they are found; expected it among a method's regularisers"
            raise InputError(f"config: methods.{name}.by: {one.by} {told}")
    if isinstance(definition, EditingMethod):
        return Method(name=name, **vars(definition))
    base = definition.regularises
    if not isinstance(config.methods.get(base), EditingMethod):
        raise InputError(
            f"config: methods.{name}.regularises: found {base!r}, expected a method with an algorithm"
        )
    return replace(_method(config, base), name=name, regularises=base, regularisation=definition.told)


def distinct_runs(entries: Sequence[Entry]) -> dict[str, Run]:
    """All runs by path; raises InputError where two entries give one path with different settings."""
    found: dict[str, Run] = {}
    for entry in entries:
        for method in entry.methods:
            for trial in range(1, entry.trials + 1):
                run = Run(entry, method, trial)
                other = found.setdefault(run.path, run)
                same = replace(other.entry, index=0, methods=()) == replace(entry, index=0, methods=())
                if not same or other.entry.assisting != entry.assisting:
                    raise InputError(
                        f"config: runs[{other.entry.index}] and runs[{entry.index}] both give"
                        f" results/edits/{run.path} with different settings;"
                        " expected different definition names"
                    )
    return found
