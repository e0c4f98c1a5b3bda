"""A typed view of the configuration: entries of `runs`, the runs they expand to, and their settings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from reedit.checkout import check_checkout, commit_of
from reedit.configuration import check_configuration, nearest
from reedit.datasets import load_dataset
from reedit.errors import InputError
from reedit.files import file_sha256, visible_files
from reedit.hyperparameters import read_hyperparameters

REPORTED_MODELS = {"gpt2-xl", "gpt-j-6b", "llama-2-7b"}


@dataclass(frozen=True)
class Method:
    """A definition of `methods`: an algorithm, and how neighbors assist it."""

    name: str
    algorithm: str
    assisting: int  # neighbors in the loss, 0 for none
    prefixed: bool
    choice: str
    protocol: str | None  # overrides the entry's
    prefixes: bool  # has prefix templates of its own
    engine: str  # reedit, ours, or easyedit, a checkout of the published one at `checkout`
    checkout: str | None


@dataclass(frozen=True)
class Entry:
    """One entry of `runs`, with defaults and overrides resolved."""

    index: int
    model: str
    dataset: str
    methods: tuple[Method, ...]
    corpus: str
    edits: int | str
    trials: int
    iterations: int
    extend_to: int | None
    stop: str
    eligible: bool
    protocol: str
    keep_weights: str
    misaligned: str

    @property
    def assisting(self) -> list[list[Any]]:
        """[count, choice] of the assisted methods, each once, in a fixed order (plain lists for params)."""
        return sorted([n, c] for n, c in {(m.assisting, m.choice) for m in self.methods if m.assisting})

    @property
    def filtered(self) -> bool:
        """Whether the entry needs the neighbor filter of Appendix B.2."""
        return self.eligible or bool(self.assisting)

    @property
    def sample(self) -> str:
        """Name of the split; entries that sample alike share it."""
        name = f"{self.edits}x{self.trials}"
        if self.eligible:
            name += "".join(["-eligible", *(f"-{count}{choice}" for count, choice in self.assisting)])
        return name + "-aligned" * (self.misaligned == "drop")


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
        own = f"{self.entry.model}/{self.method.name}"
        return own if self.method.prefixes else self.entry.model


class Experiment:
    """Everything the rules ask of a configuration; it is checked when this is made.

    `house` is the workflow's own folder: a relative path is looked for in the working directory, then
    there. Raises InputError with one line.
    """

    def __init__(self, config: Mapping[str, Any], schema: Mapping[str, Any], house: Path) -> None:
        check_configuration(config, schema)
        self.config = config
        self.house = house
        self.entries = [self._entry(index, run) for index, run in enumerate(config["runs"])]
        self.runs = {run.path: run for run in self._distinct_runs()}
        for run in self.runs.values():
            self.hyperparameters(run)
            self._check_engine(run.method)
        self._check_local_sources()

    def _method(self, name: str) -> Method:
        definition = self.config["methods"][name]
        neighbors, engine = definition.get("neighbors", {}), definition.get("engine", {"name": "reedit"})
        return Method(
            name=name,
            algorithm=definition["algorithm"],
            assisting=neighbors.get("count", 0),
            prefixed=neighbors.get("prefixed", False),
            choice=neighbors.get("choice", "random"),
            protocol=definition.get("protocol"),
            prefixes="prefixes" in definition,
            engine=engine["name"],
            checkout=engine.get("path"),
        )

    def _entry(self, index: int, run: Mapping[str, Any]) -> Entry:
        dataset = self.config["datasets"][run["dataset"]]
        return Entry(
            index=index,
            model=run["model"],
            dataset=run["dataset"],
            methods=tuple(self._method(name) for name in run["methods"]),
            corpus=run["corpus"],
            edits=run["edits"],
            trials=run.get("trials", 1),
            iterations=run["iterations"],
            extend_to=run.get("extend_to"),
            stop=run.get("stop", "none"),
            eligible=dataset.get("eligible", run.get("eligible", False)),
            protocol=run.get("protocol", self.config["protocol"]),
            keep_weights=run.get("keep_weights", self.config["keep_weights"]),
            misaligned=run.get("misaligned", "error"),
        )

    def _distinct_runs(self) -> list[Run]:
        """All runs; two entries that give one path with different settings are refused, naming both."""
        found: dict[str, Run] = {}
        for entry in self.entries:
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
        return list(found.values())

    def hyperparameters(self, run: Run) -> dict[str, Any]:
        """The run's checked hyperparameters."""
        algorithm, model = run.method.algorithm, run.entry.model
        known = self.config["hyperparameters"].get(algorithm, {})
        where = f"config: hyperparameters.{algorithm}.{model}"
        if model not in known:
            raise InputError(f"{where}: missing, needed by runs[{run.entry.index}]{nearest(model, known)}")
        value = known[model]
        if isinstance(value, str):
            value = self.found(value)
        changes = self.config["methods"][run.method.name].get("hyperparameters", {})
        if changes:
            where += f" with methods.{run.method.name}.hyperparameters"
        return read_hyperparameters(value, algorithm, where, changes)

    def _check_engine(self, method: Method) -> None:
        """A checkout of EasyEdit has to be there before any job starts."""
        if method.engine == "reedit":
            return
        where = f"config: methods.{method.name}"
        if method.assisting:
            raise InputError(f"{where}.neighbors: not with engine easyedit, which has no assisting neighbors")
        check_checkout(self.found(method.checkout), method.algorithm, f"{where}.engine.path")

    def found(self, path: str) -> Path:
        """A path of the configuration as it stands, or in the workflow's folder where it is only there."""
        own = self.house / path
        return own if os.path.exists(own) and not os.path.exists(path) else Path(path)

    @cached_property
    def used_sources(self) -> list[str]:
        """Names of the sources that the runs need, each once."""
        config = self.config
        names = [config["collapse"]["source"]]
        for entry in self.entries:
            corpus = config["corpora"][entry.corpus]
            names += [config["models"][entry.model]["source"], corpus["source"]]
            if "check" in corpus:
                names.append(self.check(entry.corpus)["source"])
        names += [source for dataset in self.datasets for source in self.dataset_sources(dataset)]
        owners = {run.prefixes for run in self.runs.values()}
        names += [self.prefixes(owner)["source"] for owner in owners if "source" in self.prefixes(owner)]
        return list(dict.fromkeys(names))

    def _check_local_sources(self) -> None:
        """A bad file is told before any job starts: a job that fails takes what depends on it along."""
        for name in self.used_sources:
            source = self.config["sources"][name]
            if "path" not in source:
                continue
            path = self.found(source["path"])
            exists = os.path.isfile(path) if source["kind"] == "file" else os.path.isdir(path)
            if not exists:  # os.path: a path that is too long or holds a NUL is no error there
                raise InputError(f"config: sources.{name}.path: no such {source['kind']}: {source['path']}")
            for file in self.local_files(name):
                if "{" in file or "}" in file:
                    raise InputError(
                        f"config: sources.{name}.path: found {file!r}, expected no braces:"
                        " Snakemake takes them for wildcards"
                    )
            expected = source.get("sha256") if source["kind"] == "file" else None
            if expected and (found := file_sha256(path)) != expected:
                raise InputError(f"config: sources.{name}: {path}: sha256 is {found}, expected {expected}")
        for dataset in self.datasets:
            facts = [self.config["sources"][name] for name in self.dataset_sources(dataset)]
            if all(source["kind"] == "file" for source in facts):
                form = self.config["datasets"][dataset]["format"]
                try:
                    load_dataset(form, [self.found(source["path"]) for source in facts])
                except InputError as error:
                    raise InputError(f"config: datasets.{dataset}: {error}") from error

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets that are read, each once: those of the runs, and those compared."""
        compared = [pair[key] for pair in self.compared_filters for key in ("pool", "published")]
        return list(dict.fromkeys([*(entry.dataset for entry in self.entries), *compared]))

    @property
    def compared_filters(self) -> list[dict[str, str]]:
        """model, pool and published of the neighbor filters beside which a published list is put."""
        return self.config.get("report", {}).get("eligible", [])

    def dataset_sources(self, dataset: str) -> list[str]:
        """Names of the sources whose files make a dataset, in their order."""
        source = self.config["datasets"][dataset]["source"]
        return [source] if isinstance(source, str) else list(source)

    def local_files(self, source: str) -> list[str]:
        """The path of a source on this machine and the files in it, nothing for one that is downloaded."""
        definition = self.config["sources"][source]
        if "path" not in definition:
            return []
        path = self.found(definition["path"])
        return [str(path), *(str(file) for file in (visible_files(path) if path.is_dir() else []))]

    @staticmethod
    def owner_model(owner: str) -> str:
        """The model that an owner of prefix templates, a model or one of its methods, belongs to."""
        return owner.partition("/")[0]

    def prefixes(self, owner: str) -> dict[str, Any]:
        """Settings of prefix templates: {source} alone, or count, tokens and seed."""
        model, _, method = owner.partition("/")
        settings = {"count": 5, "tokens": 10, "seed": 0} | self.config["models"][model]["prefixes"]
        if method:
            own = self.config["methods"][method]["prefixes"]
            settings = own if "source" in own else {k: v for k, v in settings.items() if k != "source"} | own
        if "source" in settings:
            return {"source": settings["source"]}
        return {key: settings[key] for key in ("count", "tokens", "seed")}

    def template_count(self, owner: str) -> int:
        """How many prefix templates an owner has; 5 are assumed of a user's own."""
        settings = self.prefixes(owner)
        lengths = settings.get("tokens")
        return settings.get("count", 5) * (len(lengths) if isinstance(lengths, list) else 1)

    def repository(self, model: str) -> str:
        """The repository that a model comes from; its own name in the configuration where there is none."""
        return self.config["sources"][self.config["models"][model]["source"]].get("repo", model)

    def needs_moments(self, run: Run) -> bool:
        """Whether a run reads second moments: ROME does not without mom2_adjustment."""
        return run.method.algorithm != "rome" or self.hyperparameters(run).get("mom2_adjustment", False)

    def layers(self, model: str, corpus: str) -> list[int]:
        """All layers whose moments the runs of a model and corpus need."""
        of_both = [r for r in self.runs.values() if (r.entry.model, r.entry.corpus) == (model, corpus)]
        runs = [run for run in of_both if self.needs_moments(run)]
        return sorted({layer for run in runs for layer in self.hyperparameters(run)["layers"]})

    def corpora(self, imported: bool) -> list[str]:
        """Names of the corpora whose moments are imported, or of those they are collected over."""
        of_all = self.config["corpora"].items()
        return [name for name, corpus in of_all if imported == (corpus["format"] == "released-statistics")]

    def check(self, corpus: str) -> Mapping[str, Any]:
        """The corpus on whose texts released statistics are compared with the model."""
        return self.config["corpora"][self.config["corpora"][corpus]["check"]]

    def reading(self, corpus: str) -> dict[str, Any]:
        """How the documents of a corpus are read."""
        return {key: self.config["corpora"][corpus][key] for key in ("format", "samples", "max_tokens")}

    def neighbors_in_file_order(self, model: str, dataset: str) -> bool:
        """Whether every assisted method of a model and dataset takes the file's first neighbors."""
        choices = {
            method.choice
            for entry in self.entries
            if (entry.model, entry.dataset) == (model, dataset)
            for method in entry.methods
            if method.assisting
        }
        return choices == {"first"}

    def split_entry(self, model: str, dataset: str, sample: str) -> Entry:
        """An entry that the named split belongs to."""
        return next(e for e in self.entries if (e.model, e.dataset, e.sample) == (model, dataset, sample))

    def facts_settings(self, dataset: str) -> dict[str, Any]:
        """How a dataset is read; only where all its runs are `released` do given neighbor subjects stand."""
        protocols = {run.protocol for run in self.runs.values() if run.entry.dataset == dataset}
        return {
            "dataset": dataset,
            "format": self.config["datasets"][dataset]["format"],
            "recover_subjects": protocols != {"released"},
        }

    def edit_settings(self, run: Run) -> dict[str, Any]:
        """All that determines a run's edits beside its input files: plain values."""
        return {
            "algorithm": run.method.algorithm,
            "engine": self.engine(run.method),
            "repository": self.repository(run.entry.model),
            "assisting": run.method.assisting,
            "choice": run.method.choice,
            "prefixed": run.method.prefixed,
            "protocol": run.protocol,
            "hyperparameters": self.hyperparameters(run),
            "iterations": run.entry.iterations,
            "extend_to": run.entry.extend_to,
            "stop": run.entry.stop,
            "dtype": self.config["models"][run.entry.model]["dtype"],
            "keep_weights": run.entry.keep_weights,
            "seed": self.config["seed"],
            "trial": run.trial,
        }

    def engine(self, method: Method) -> dict[str, Any]:
        """What edits: ours by its name alone, a checkout with its path and the commit it is at."""
        if method.engine == "reedit":
            return {"name": "reedit"}
        path = self.found(method.checkout)
        return {"name": method.engine, "path": str(path), "commit": commit_of(path)}

    def score_settings(self, run: Run) -> dict[str, Any]:
        """All that determines a run's scores beside its input files."""
        return {
            "protocol": run.protocol,
            "eligible": run.entry.eligible,
            "assisting": run.entry.assisting,
            "layers": self.hyperparameters(run)["layers"],
            "dtype": self.config["models"][run.entry.model]["dtype"],
            "trial": run.trial,
        }

    @property
    def runs_a_reported_model(self) -> bool:
        """Whether a model that runs is one of the paper's, or stands for one."""
        return not REPORTED_MODELS.isdisjoint(self.reported_as()["models"].values())

    def reported_as(self) -> dict[str, dict[str, str]]:
        """The paper's name of each model, dataset and method that runs: `reported_as`, else its own."""
        used = {
            "models": [entry.model for entry in self.entries],
            "datasets": [entry.dataset for entry in self.entries],
            "methods": [method.name for entry in self.entries for method in entry.methods],
        }
        return {
            section: {name: self.config[section][name].get("reported_as", name) for name in names}
            for section, names in used.items()
        }

    def identity(self, run: Run) -> dict[str, Any]:
        """The columns of the summary that tell a run."""
        return {
            "entry": run.entry.index,
            "model": run.entry.model,
            "dataset": run.entry.dataset,
            "format": self.config["datasets"][run.entry.dataset]["format"],
            "method": run.method.name,
            "algorithm": run.method.algorithm,
            "assisted": run.method.assisting > 0,
            "prefixed": run.method.assisting > 0 and run.method.prefixed,
            "protocol": run.protocol,
            "trial": run.trial,
        }
