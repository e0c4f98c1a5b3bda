"""An experiment: everything the rules ask of a configuration."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from reedit.edit.easyedit.checkout import check_checkout, commit_of
from reedit.errors import InputError, nearest
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.hyperparameters import read_hyperparameters
from reedit.settings.configuration import check_configuration
from reedit.settings.runs import Entry, Method, Run, distinct_runs, read_entry
from reedit.settings.source_files import SourceFiles

REPORTED_MODELS = {"gpt2-xl", "gpt-j-6b", "llama-2-7b"}


class Experiment:
    """Everything the rules ask of a configuration; it is checked when this is made.

    `house` is the workflow's own folder: a relative path is looked for in the working directory, then
    there. Raises InputError with one line.
    """

    def __init__(self, config: Mapping[str, Any], schema: Mapping[str, Any], house: Path) -> None:
        check_configuration(config, schema)
        self.config = config
        self._hyperparameters: dict[tuple[str, str], dict[str, Any]] = {}  # by model and editing method
        self.files = SourceFiles(config, house)
        self.entries = [read_entry(config, index) for index in range(len(config["runs"]))]
        self.runs = distinct_runs(self.entries)
        for run in self.runs.values():
            self.hyperparameters(run)
            self._check_engine(run.method)
        self.files.check(self.used_sources, self.datasets)
        if self.own_tasks and not self.own_tasks.is_dir():
            raise InputError(f"config: downstream.folder: no such folder: {self.own_tasks}")

    def hyperparameters(self, run: Run) -> dict[str, Any]:
        """The run's checked hyperparameters; their file is read once."""
        key = run.entry.model, run.method.edited_as
        if key not in self._hyperparameters:
            self._hyperparameters[key] = self._read_hyperparameters(run)
        return dict(self._hyperparameters[key])

    def _read_hyperparameters(self, run: Run) -> dict[str, Any]:
        algorithm, model = run.method.algorithm, run.entry.model
        known = self.config["hyperparameters"].get(algorithm, {})
        where = f"config: hyperparameters.{algorithm}.{model}"
        if model not in known:
            raise InputError(f"{where}: missing, needed by runs[{run.entry.index}]{nearest(model, known)}")
        value = known[model]
        if isinstance(value, str):
            value = self.files.found(value)
        changes = self.config["methods"][run.method.edited_as].get("hyperparameters", {})
        if changes:
            where += f" with methods.{run.method.edited_as}.hyperparameters"
        return read_hyperparameters(value, algorithm, where, changes)

    def _check_engine(self, method: Method) -> None:
        """A checkout of EasyEdit has to be there before any job starts."""
        if method.engine == "reedit":
            return
        where = f"config: methods.{method.name}"
        if method.assisting:
            raise InputError(f"{where}.neighbors: not with engine easyedit, which has no assisting neighbors")
        check_checkout(self.files.found(method.checkout), method.algorithm, f"{where}.engine.path")

    @cached_property
    def used_sources(self) -> list[str]:
        """Names of the sources that the runs need, each once."""
        config = self.config
        names = [config["collapse"]["source"]]
        for entry in self.entries:
            corpus = config["corpora"][entry.corpus]
            names.append(corpus["source"])
            if "check" in corpus:
                names.append(self.check(entry.corpus)["source"])
        names += [config["models"][model]["source"] for model in self.models]
        names += [source for dataset in self.datasets for source in self.files.of_dataset(dataset)]
        owners = {run.prefixes for run in self.runs.values()}
        names += [self.prefixes(owner)["source"] for owner in owners if "source" in self.prefixes(owner)]
        return list(dict.fromkeys(names))

    @property
    def models(self) -> list[str]:
        """Names of the models at work: those of the runs, and those whose filters are compared."""
        compared = [pair["model"] for pair in self.compared_filters]
        return list(dict.fromkeys([*(entry.model for entry in self.entries), *compared]))

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets that are read, each once: those of the runs, and those compared."""
        compared = [pair[key] for pair in self.compared_filters for key in ("pool", "published")]
        return list(dict.fromkeys([*(entry.dataset for entry in self.entries), *compared]))

    @property
    def compared_filters(self) -> list[dict[str, str]]:
        """model, pool and published of the neighbor filters beside which a published list is put."""
        return self.config.get("report", {}).get("eligible", [])

    @property
    def own_tasks(self) -> Path | None:
        """The folder with downstream tasks of the user's own."""
        folder = self.config.get("downstream", {}).get("folder")
        return self.files.found(folder) if folder else None

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
        if run.method.regularises:
            return False
        one_by_one = ALGORITHMS[run.method.algorithm].one_by_one
        return not one_by_one or self.hyperparameters(run).get("mom2_adjustment", False)

    def needs_spectra(self, run: Run) -> bool:
        """Whether it reads their eigenvectors in place of the moments themselves."""
        return self.needs_moments(run) and ALGORITHMS[run.method.algorithm].preserves == "null_space"

    def regularised(self, run: Run) -> str:
        """The path of the run whose updates this one regularises."""
        return f"{run.entry.model}/{run.entry.dataset}/{run.method.regularises}/trial{run.trial}"

    def methods(self, regularising: bool) -> list[str]:
        """Names of the methods that edit, or of those that regularise what others have edited."""
        used = {run.method.name: bool(run.method.regularises) for run in self.runs.values()}
        return [name for name, regularises in used.items() if regularises == regularising]

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

    def split_settings(self, model: str, dataset: str, sample: str) -> dict[str, Any]:
        """All that determines the named split beside its input files."""
        entry = self.split_entry(model, dataset, sample)
        names = ("edits", "trials", "eligible", "assisting", "misaligned", "protocols")
        return {name: getattr(entry, name) for name in names} | {"seed": self.config["seed"]}

    def facts_settings(self, dataset: str) -> dict[str, Any]:
        """How a dataset is read."""
        return {"dataset": dataset, "format": self.config["datasets"][dataset]["format"]}

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
            "nonfinite": run.entry.nonfinite,
            "batch": run.method.batch,
            "spread_only": run.method.spread_only,
            "seed": self.config["seed"],
            "trial": run.trial,
        }

    def engine(self, method: Method) -> dict[str, Any]:
        """What edits: ours by its name alone, a checkout with its path and the commit it is at."""
        if method.engine == "reedit":
            return {"name": "reedit"}
        path = self.files.found(method.checkout)
        return {"name": method.engine, "path": str(path), "commit": commit_of(path)}

    def processes(self, run: Run) -> int:
        """How many processes share a run's edit job; ROME's and a checkout's edits follow one another."""
        shareable = not ALGORITHMS[run.method.algorithm].one_by_one and run.method.engine == "reedit"
        return self.config["models"][run.entry.model].get("processes", 1) if shareable else 1

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
            "algorithm": run.method.family,
            "assisted": run.method.assisting > 0,
            "prefixed": run.method.assisting > 0 and run.method.prefixed,
            "protocol": run.protocol,
            "trial": run.trial,
        }
