"""An experiment: everything the rules ask of a configuration, and the settings of their jobs."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

from reedit.edit.job.settings import EditSettings
from reedit.errors import InputError
from reedit.evaluate.judge_plugins import package_of, plugin_of
from reedit.evaluate.settings import AnswerSettings, ScoreSettings, TextSettings
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.speed import faster, leaves_fast
from reedit.prepare.settings import SplitSettings
from reedit.settings.definitions import ReleasedStatistics, ReportedModel
from reedit.settings.engines import check_engine, engine_of
from reedit.settings.entries import is_tuned
from reedit.settings.needs import Needs
from reedit.settings.possible import check_possible
from reedit.settings.runs import Run
from reedit.tune.settings import TuneSettings

REPORTED_MODELS = set(get_args(ReportedModel))


class Experiment(Needs):
    """Everything the rules ask of a configuration, checked when this is made, with the files it names."""

    def __init__(self, config: Mapping[str, Any], house: Path) -> None:
        super().__init__(config, house)
        for run in self.runs.values():
            check_engine(run.method, self.files)
        check_possible(self, self.files.check(self.used_sources, self.datasets))
        self.files.check_references(self.references)
        if self.own_tasks and not self.own_tasks.is_dir():
            raise InputError(f"config: downstream.folder: no such folder: {self.own_tasks}")

    @property
    def own_tasks(self) -> Path | None:
        """The folder with downstream tasks of the user's own."""
        downstream = self.asked.downstream
        return self.files.found(downstream.folder) if downstream and downstream.folder else None

    def processes(self, run: Run) -> int:
        """How many processes share a run's edit job; ROME's and a checkout's edits follow one another."""
        algorithm, engine = ALGORITHMS[run.method.algorithm], run.method.engine.name
        shareable = algorithm.finds_targets and not algorithm.one_by_one and engine == "reedit"
        return self.asked.models[run.entry.model].processes if shareable else 1

    def facts_settings(self, dataset: str) -> dict[str, Any]:
        """How a dataset is read."""
        asked = self.asked.datasets[dataset]
        dropped = {"malformed": asked.malformed} if asked.malformed != "error" else {}
        return {"dataset": dataset, "format": asked.format, **dropped}

    def wording(self, model: str, dataset: str) -> dict[str, Any]:
        """How a dataset's texts are put to a model, as far as it is not the usual way (models/tokens.py)."""
        separator, chat = self.asked.datasets[dataset].separator, self.asked.models[model].chat
        return ({"separator": separator} if separator != " " else {}) | ({"chat": True} if chat else {})

    def split_settings(self, model: str, dataset: str, sample: str) -> SplitSettings:
        """All that determines the named split beside its input files."""
        entry, *_ = entries = self.split_entries(model, dataset, sample)
        names = ("edits", "trials", "eligible", "assisting", "misaligned", "protocols")
        return SplitSettings(
            **_said(entry, *names, "subject_end", "first_token"),
            apart=self.asked.tuning.share if entry.apart else None,
            wording=self.wording(model, dataset),
            distinct_keys=entry.some_method("distinct_keys"),
            one_by_one=any(other.some_method("one_by_one") for other in entries),
            seed=self.asked.seed,
        )

    def edit_settings(self, run: Run) -> EditSettings:
        """All that determines a run's edits beside its input files."""
        settings = EditSettings(
            **_said(run, "protocol", "trial"),
            **_said(run.entry, "iterations", "extend_to", "stop", "keep_weights", "nonfinite", "subject_end"),
            **_said(run.method, "algorithm", "assisting", "choice", "prefixed", "batch", "spread_only"),
            **_said(run.method, "leaves", "protects", "ideal_editor", "checkpoints"),
            regularisers=[one.told for one in run.method.regularisers],
            engine=engine_of(run.method, self.files),
            repository=self.repository(run.entry.model),
            wording=self.wording(run.entry.model, run.entry.dataset),
            hyperparameters=self.hyperparameters(run),
            dtype=self.asked.models[run.entry.model].dtype,
            seed=self.asked.seed,
        )
        if run.entry.speed == "exact":
            return settings
        algorithm = ALGORITHMS[settings.algorithm]
        return replace(
            settings,
            speed=run.entry.speed,
            hyperparameters=faster(settings.hyperparameters),
            leaves=leaves_fast(
                algorithm, settings.leaves, settings.spread_only or bool(settings.ideal_editor)
            ),
        )

    def tuned_on(self, model: str) -> tuple[str, str]:
        """The dataset and the corpus that a model is tuned with."""
        asked = self.asked.tuning
        entry = next((entry for entry in self.entries if entry.model == model), self.entries[0])
        return asked.dataset or entry.dataset, asked.corpus or entry.corpus

    def tune_settings(self, model: str, algorithm: str) -> TuneSettings:
        """All that determines what tuning finds beside its input files."""
        (dataset, corpus), asked = self.tuned_on(model), self.asked.tuning
        if isinstance(self.asked.corpora[corpus], ReleasedStatistics):
            raise InputError(
                f"config: tuning.corpus: {corpus} is released statistics, expected a corpus of texts"
            )
        return TuneSettings(
            algorithm=algorithm,
            **_said(asked, "facts", "share", "reach", "maximise"),
            minutes=asked.budget.minutes,
            edits=asked.budget.edits,
            current=self._in_use(model, algorithm),
            corpus=self.reading(corpus) | self.tokens(corpus),
            protocol=self.asked.protocol,
            subject_end=self.asked.subject_end,
            repository=self.repository(model),
            wording=self.wording(model, dataset),
            dtype=self.asked.models[model].dtype,
            seed=self.asked.seed,
        )

    def _in_use(self, model: str, algorithm: str) -> dict[str, Any] | None:
        """The hyperparameters that the configuration has already; None where tuning itself has made them."""
        value = self.asked.hyperparameters.get(algorithm, {}).get(model)
        if value is None or is_tuned(value):
            return None
        return self._checked_hyperparameters(value, algorithm, f"config: hyperparameters.{algorithm}.{model}")

    def taken(self, model: str) -> list[str]:
        """Samples of the runs whose cases tuning must not see: they do not leave its share alone."""
        dataset, _ = self.tuned_on(model)
        entries = [e for e in self.entries if (e.model, e.dataset) == (model, dataset) and not e.apart]
        return list(dict.fromkeys(entry.sample for entry in entries))

    def score_settings(self, run: Run) -> ScoreSettings:
        """All that determines a run's scores beside its input files."""
        return ScoreSettings(
            **_said(run, "protocol", "trial"),
            **_said(run.entry, "eligible", "assisting"),
            wording=self.wording(run.entry.model, run.entry.dataset),
            layers=self.hyperparameters(run)["layers"],
            dtype=self.asked.models[run.entry.model].dtype,
        )

    def answer_settings(self, run: Run) -> AnswerSettings:
        """The same of what it says by itself."""
        asked = asdict(self.asked.generation)
        if plugin := plugin_of(asked["judge"]):
            asked["judge_package"] = package_of(plugin, "config: generation.judge")
        elif asked["judge"]:
            asked["judge_dtype"] = self.asked.models[asked["judge"]].dtype
        return AnswerSettings(**vars(self.score_settings(run)), **asked)

    def text_settings(self, run: Run) -> TextSettings:
        """All that determines the texts of a run beside its input files."""
        return TextSettings(
            wording=self.wording(run.entry.model, run.entry.dataset),
            layers=self.hyperparameters(run)["layers"],
            dtype=self.asked.models[run.entry.model].dtype,
            trial=run.trial,
            seed=self.asked.seed,
        )

    def regularised(self, run: Run) -> str:
        """The path of the run whose updates this one regularises."""
        return f"{run.entry.model}/{run.entry.dataset}/{run.method.regularises}/trial{run.trial}"

    def identity(self, run: Run) -> dict[str, Any]:
        """The columns of the summary that tell a run."""
        return {
            "entry": run.entry.index,
            **_said(run.entry, "model", "dataset"),
            "format": self.asked.datasets[run.entry.dataset].format,
            "method": run.method.name,
            "algorithm": run.method.family,
            "assisted": run.method.assisting > 0,
            "prefixed": run.method.assisting > 0 and run.method.prefixed,
            **_said(run, "protocol", "trial"),
        }

    def reported_as(self) -> dict[str, dict[str, str]]:
        """By section, the paper's name of each definition that runs: `reported_as`, else its own."""
        used = {
            "models": [entry.model for entry in self.entries],
            "datasets": [entry.dataset for entry in self.entries],
            "methods": [method.name for entry in self.entries for method in entry.methods],
        }
        return {
            section: {name: getattr(defined[name], "reported_as", None) or name for name in names}
            for section, names in used.items()
            for defined in [getattr(self.asked, section)]
        }

    def against(self) -> dict[str, str]:
        """By method that runs, the one that its definition has it compared with, where it has one."""
        used = dict.fromkeys(method.name for entry in self.entries for method in entry.methods)
        found = {name: self.asked.methods[name].against for name in used}
        return {name: reference for name, reference in found.items() if reference is not None}

    @property
    def runs_a_reported_model(self) -> bool:
        """Whether a model that runs is one of the paper's, or stands for one."""
        return not REPORTED_MODELS.isdisjoint(self.reported_as()["models"].values())


def _said(of: Any, *names: str) -> dict[str, Any]:
    """What a run, its entry or its method says under these names."""
    return {name: getattr(of, name) for name in names}
