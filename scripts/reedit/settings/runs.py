"""What the configuration's `runs` say: entries, the methods they name, and the jobs they expand to."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import PurePath
from typing import Any

from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import OF_TARGETS, REGULARISERS
from reedit.settings import definitions
from reedit.settings.definitions import Config, EditingMethod

TUNED = "results/hyperparameters"  # where tuning puts what it finds: {model}/{algorithm}.yaml
# algorithms that the engine easyedit runs
PUBLISHED = ("rome", "memit", "pmet", "alphaedit", "emmet", "memit_fe")


@dataclass(frozen=True, kw_only=True)
class Method(EditingMethod):
    """A definition of `methods`; of one that regularises another's updates that one's, and how it does so."""

    name: str
    regularises: str | None = None  # the method whose updates this one makes gentler
    regularisation: Mapping[str, Any] | None = None  # how: its name and its options

    @property
    def assisting(self) -> int:
        """Neighbors in the loss."""
        return self.neighbors.count if self.neighbors else 0

    @property
    def prefixed(self) -> bool:
        """Whether the first prefix stands before their prompts."""
        return bool(self.neighbors and self.neighbors.prefixed)

    @property
    def choice(self) -> str:
        """Which of them assist: random or first."""
        return self.neighbors.choice if self.neighbors else "random"

    @property
    def edited_as(self) -> str:
        """The name of the definition that says how it edits: its own, or of the one it regularises."""
        return self.regularises or self.name

    @property
    def family(self) -> str:
        """The algorithm and what makes this method another one than its published form, neighbors aside."""
        parts = [self.algorithm]
        parts += ["spread_only"] * self.spread_only + [self.leaves] * (self.leaves != "never")
        parts += [f"batch{self.batch}"] * (self.batch is not None)
        parts += [f"protects_{self.protects}"] * (self.protects is not None)
        parts += [one.by for one in self.regularisers] + ["simie"] * (self.ideal_editor is not None)
        parts += [self.regularisation["name"]] if self.regularisation else []
        return "+".join(parts)


@dataclass(frozen=True, kw_only=True)
class Entry(definitions.Entry):
    """One entry of `runs` with its methods, and with what the top level and the dataset say."""

    index: int
    methods: tuple[Method, ...]
    protocol: str
    keep_weights: str
    nonfinite: str
    apart: bool

    @property
    def assisting(self) -> list[list[Any]]:
        """[count, choice] of the assisted methods, each once, in a fixed order (plain lists for params)."""
        return sorted([n, c] for n, c in {(m.assisting, m.choice) for m in self.methods if m.assisting})

    @property
    def protocols(self) -> list[str]:
        """The protocols of its runs, each once, in a fixed order."""
        return sorted({method.protocol or self.protocol for method in self.methods})

    @property
    def filtered(self) -> bool:
        """Whether the entry needs the neighbor filter of Appendix B.2."""
        return self.eligible or bool(self.assisting)

    def some_method(self, has: str) -> bool:
        """Whether an algorithm of its methods has this field (methods/algorithms.py)."""
        return any(getattr(ALGORITHMS[method.algorithm], has) for method in self.methods)

    @property
    def sample(self) -> str:
        """Name of the split: all that decides which cases it has and what is asked of their tokens."""
        parts = [f"{self.edits}x{self.trials}"]
        parts += ["eligible"] * self.eligible
        parts += [f"{count}{choice}" for count, choice in self.assisting]
        parts += ["aligned"] * (self.misaligned == "drop")
        parts += ["apart"] * self.apart
        parts += ["distinct"] * self.some_method("distinct_keys")
        parts += ["prefixed"] * (self.first_token == "prefixed")
        parts += [f"{self.subject_end}-end"] if self.subject_end else []
        parts += self.protocols if self.protocols != ["corrected"] else []
        return "-".join(parts)


@dataclass(frozen=True)
class Run:
    """One editing job: a method on one trial of an entry."""

    entry: Entry
    method: Method
    trial: int

    @property
    def path(self) -> str:
        return f"{self.entry.model}/{self.entry.dataset}/{self.method.name}/trial{self.trial}"

    @property
    def protocol(self) -> str:
        return self.method.protocol or self.entry.protocol

    @property
    def prefixes(self) -> str:
        """Owner of the prefix templates: the model, or the method where it has its own."""
        own = f"{self.entry.model}/{self.method.edited_as}"
        return own if self.method.prefixes else self.entry.model


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
        _check_method(method, entry)
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


def _check_method(method: Method, entry: Entry) -> None:
    """Raise InputError for a method that this entry cannot have."""
    where, engine = f"config: methods.{method.name}", method.engine.name
    algorithm = ALGORITHMS[method.algorithm]
    holding = ["spread_only"] * method.spread_only + ["leaves"] * (method.leaves != "never")
    if len(holding) > 1:
        raise InputError(f"{where}: leaves: not with spread_only, which optimises nothing after k = 1")
    if holding and not algorithm.can_hold:
        why = "edits one by one" if algorithm.one_by_one else "has a target a layer"
        why = why if algorithm.finds_targets else "finds no targets"
        raise InputError(f"{where}: {holding[0]}: not with {method.algorithm}, which {why}")
    if not algorithm.finds_targets:
        asked = {"neighbors": method.neighbors, "protects": method.protects not in (None, "none")}
        asked["regularisers"] = any(one.by in OF_TARGETS for one in method.regularisers)
        asked["speed: fast"] = entry.speed != "exact"
        if wrong := [name for name, given in asked.items() if given]:
            told = "which reads the cases' own prompts alone, and finds no targets"
            raise InputError(f"{where}: {wrong[0]}: not with {method.algorithm}, {told}")
    if entry.speed != "exact":
        told = f"config: runs[{entry.index}].speed: {entry.speed}: not with {method.name}"
        if engine != "reedit":
            raise InputError(f"{told}, which edits by {engine}")
        if (method.protocol or entry.protocol) == "released":
            raise InputError(f"{told} under released, which is what the published code computes")
    if method.ideal_editor:
        protects = method.protects or algorithm.protects
        keeps = ["protects"] * (protects != "none") + holding
        keeps += ["more than one stage"] * (len(algorithm.stages((0, 1))) > 1)
        if keeps:
            told = "which has every batch edited at the unedited weights"
            raise InputError(f"{where}: {keeps[0]}: not with ideal_editor, {told}")
    sequential = method.batch or method.protects or method.regularisers or method.ideal_editor
    if engine != "reedit" and (sequential or holding):
        told = "batch, protects, regularisers, ideal_editor, spread_only, leaves"
        raise InputError(f"{where}: {told}: not with engine {engine}")
    if method.checkpoints and not method.batch:
        raise InputError(f"{where}: checkpoints: expected batch as well, of which it is a number")
    if algorithm.solves == "refreshed" and method.protects not in (None, "all"):
        told = f"{method.protects}: not with {method.algorithm}, which leaves all earlier keys alone"
        raise InputError(f"{where}: protects: {told}")
    if method.protects not in (None, "none") and algorithm.one_by_one:
        raise InputError(f"{where}: protects: not with {method.algorithm}, which edits one by one")
    of_targets = [one.by for one in method.regularisers if one.by in OF_TARGETS]
    if len(of_targets) > 1:
        raise InputError(f"{where}.regularisers: found {of_targets}, expected one of these at most")
    if of_targets and algorithm.one_by_one:
        raise InputError(
            f"{where}.regularisers: {of_targets[0]}: not with {method.algorithm}, which edits one by one:"
            " it takes the first batch's targets for a measure"
        )
    if engine != "reedit" and method.algorithm not in PUBLISHED:
        raise InputError(
            f"{where}.engine: {engine} is asked for {method.algorithm}, expected one of {PUBLISHED}"
        )
    if method.regularises:
        if method.regularises not in [other.name for other in entry.methods]:
            raise InputError(
                f"config: runs[{entry.index}]: {method.name} regularises {method.regularises}, expected that"
                " among its methods too"
            )
        if entry.keep_weights != "all":
            raise InputError(
                f"config: runs[{entry.index}]: {method.name} regularises the weights of every k; expected"
                f" keep_weights: all, found {entry.keep_weights}"
            )


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
