"""What the runs of an experiment need: sources, prefix templates, second moments, neighbors and splits."""

from functools import cached_property
from typing import Any

from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.hyperparameters import reads_moments
from reedit.settings.definitions import ReleasedStatistics, Texts
from reedit.settings.runs import Entry, Run
from reedit.settings.selection import Selection

PREFIXES = {"count": 5, "tokens": 10, "seed": 0}  # where nothing is said


class Needs(Selection):
    """What the rules ask of a selection beside its runs."""

    @cached_property
    def used_sources(self) -> list[str]:
        """Names of the sources that the runs need, each once."""
        names = [self.asked.collapse.source]
        for entry in self.entries:
            corpus = self.asked.corpora[entry.corpus]
            names.append(corpus.source)
            if isinstance(corpus, ReleasedStatistics):
                names.append(self.compared_on(entry.corpus).source)
        names += [self.asked.models[model].source for model in self.models]
        names += [source for dataset in self.datasets for source in self.asked.datasets[dataset].sources]
        names += self.references.values()
        prefixes = [self.prefixes(run.prefixes) for run in self.runs.values()]
        names += [settings["source"] for settings in prefixes if "source" in settings]
        return list(dict.fromkeys(names))

    @property
    def references(self) -> dict[str, str]:
        """By dataset, the source of the reference texts that its runs need."""
        if not self.asked.report.fluency:
            return {}
        given = {entry.dataset: self.asked.datasets[entry.dataset].references for entry in self.entries}
        return {dataset: one.source for dataset, one in given.items() if one}

    def repository(self, model: str) -> str:
        """The repository that a model comes from; its own name in the configuration where there is none."""
        return getattr(self.asked.sources[self.asked.models[model].source], "repo", model)

    @staticmethod
    def owner_model(owner: str) -> str:
        """The model that an owner of prefix templates, a model or one of its methods, belongs to."""
        return owner.partition("/")[0]

    def prefixes(self, owner: str) -> dict[str, Any]:
        """Settings of prefix templates: {source} alone, or count, tokens and seed."""
        model, _, method = owner.partition("/")
        settings = self.asked.models[model].prefixes.given
        if method:
            own = self.asked.methods[method].prefixes.given
            settings = own if "source" in own else {k: v for k, v in settings.items() if k != "source"} | own
        if "source" in settings:
            return {"source": settings["source"]}
        return PREFIXES | settings

    def template_count(self, owner: str) -> int:
        """How many prefix templates an owner has; 5 are assumed of a user's own."""
        settings = PREFIXES | self.prefixes(owner)
        lengths = settings["tokens"]
        return settings["count"] * (len(lengths) if isinstance(lengths, list) else 1)

    # -- second moments --------------------------------------------------------------------------------------

    def needs_moments(self, run: Run) -> bool:
        """Whether a run reads second moments."""
        algorithm = ALGORITHMS[run.method.algorithm]
        return not run.method.regularises and reads_moments(algorithm, self.hyperparameters(run))

    def needs_spectra(self, run: Run) -> bool:
        """Whether it reads their eigenvectors in place of the moments themselves."""
        return self.needs_moments(run) and ALGORITHMS[run.method.algorithm].preserves == "null_space"

    def layers(self, model: str, corpus: str) -> list[int]:
        """All layers whose moments the runs of a model and corpus need."""
        of_both = [r for r in self.runs.values() if (r.entry.model, r.entry.corpus) == (model, corpus)]
        runs = [run for run in of_both if self.needs_moments(run)]
        return sorted({layer for run in runs for layer in self.hyperparameters(run)["layers"]})

    def corpora(self, imported: bool) -> list[str]:
        """Names of the corpora whose moments are imported, or of those they are collected over."""
        corpora = self.asked.corpora.items()
        return [name for name, corpus in corpora if imported == isinstance(corpus, ReleasedStatistics)]

    def compared_on(self, corpus: str) -> Texts:
        """The corpus on whose texts released statistics are compared with the model."""
        return self.asked.corpora[self.asked.corpora[corpus].check]

    def reading(self, corpus: str) -> dict[str, Any]:
        """How the documents of a corpus are read."""
        texts: Texts = self.asked.corpora[corpus]
        return {"format": texts.format, "samples": texts.samples, "max_tokens": texts.max_tokens}

    def tokens(self, corpus: str) -> dict[str, int | str]:
        """After how many tokens a corpus ends, where it says so."""
        tokens = self.asked.corpora[corpus].tokens
        return {} if tokens is None else {"tokens": tokens}

    # -- neighbors and splits --------------------------------------------------------------------------------

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

    def split_entries(self, model: str, dataset: str, sample: str) -> list[Entry]:
        """The entries that the named split belongs to."""
        return [e for e in self.entries if (e.model, e.dataset, e.sample) == (model, dataset, sample)]
