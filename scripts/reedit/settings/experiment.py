"""An experiment: everything the rules ask of a configuration, and the settings of their jobs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reedit.edit.job.settings import EditSettings
from reedit.errors import InputError
from reedit.evaluate.settings import ScoreSettings
from reedit.methods.algorithms import ALGORITHMS
from reedit.prepare.settings import SplitSettings
from reedit.settings.engines import check_engine, engine_of
from reedit.settings.needs import Needs
from reedit.settings.possible import check_possible
from reedit.settings.reported import REPORTED_MODELS, reported_names
from reedit.settings.runs import Run


class Experiment(Needs):
    """Everything the rules ask of a configuration, checked when this is made, with the files it names."""

    def __init__(self, config: Mapping[str, Any], house: Path) -> None:
        super().__init__(config, house)
        for run in self.runs.values():
            check_engine(run.method, self.files)
        check_possible(self, self.files.check(self.used_sources, self.datasets))
        if self.own_tasks and not self.own_tasks.is_dir():
            raise InputError(f"config: downstream.folder: no such folder: {self.own_tasks}")

    @property
    def own_tasks(self) -> Path | None:
        """The folder with downstream tasks of the user's own."""
        downstream = self.asked.downstream
        return self.files.found(downstream.folder) if downstream and downstream.folder else None

    def processes(self, run: Run) -> int:
        """How many processes share a run's edit job; ROME's and a checkout's edits follow one another."""
        shareable = not ALGORITHMS[run.method.algorithm].one_by_one and run.method.engine.name == "reedit"
        return self.asked.models[run.entry.model].processes if shareable else 1

    def facts_settings(self, dataset: str) -> dict[str, Any]:
        """How a dataset is read."""
        return {"dataset": dataset, "format": self.asked.datasets[dataset].format}

    def split_settings(self, model: str, dataset: str, sample: str) -> SplitSettings:
        """All that determines the named split beside its input files."""
        entry = self.split_entry(model, dataset, sample)
        names = ("edits", "trials", "eligible", "assisting", "misaligned", "protocols")
        return SplitSettings(**{name: getattr(entry, name) for name in names}, seed=self.asked.seed)

    def edit_settings(self, run: Run) -> EditSettings:
        """All that determines a run's edits beside its input files."""
        return EditSettings(
            algorithm=run.method.algorithm,
            engine=engine_of(run.method, self.files),
            repository=self.repository(run.entry.model),
            assisting=run.method.assisting,
            choice=run.method.choice,
            prefixed=run.method.prefixed,
            protocol=run.protocol,
            hyperparameters=self.hyperparameters(run),
            iterations=run.entry.iterations,
            extend_to=run.entry.extend_to,
            stop=run.entry.stop,
            dtype=self.asked.models[run.entry.model].dtype,
            keep_weights=run.entry.keep_weights,
            nonfinite=run.entry.nonfinite,
            batch=run.method.batch,
            spread_only=run.method.spread_only,
            seed=self.asked.seed,
            trial=run.trial,
        )

    def score_settings(self, run: Run) -> ScoreSettings:
        """All that determines a run's scores beside its input files."""
        return ScoreSettings(
            protocol=run.protocol,
            eligible=run.entry.eligible,
            assisting=run.entry.assisting,
            layers=self.hyperparameters(run)["layers"],
            dtype=self.asked.models[run.entry.model].dtype,
            trial=run.trial,
        )

    def regularised(self, run: Run) -> str:
        """The path of the run whose updates this one regularises."""
        return f"{run.entry.model}/{run.entry.dataset}/{run.method.regularises}/trial{run.trial}"

    def identity(self, run: Run) -> dict[str, Any]:
        """The columns of the summary that tell a run."""
        return {
            "entry": run.entry.index,
            "model": run.entry.model,
            "dataset": run.entry.dataset,
            "format": self.asked.datasets[run.entry.dataset].format,
            "method": run.method.name,
            "algorithm": run.method.family,
            "assisted": run.method.assisting > 0,
            "prefixed": run.method.assisting > 0 and run.method.prefixed,
            "protocol": run.protocol,
            "trial": run.trial,
        }

    def reported_as(self) -> dict[str, dict[str, str]]:
        """The paper's name of each model, dataset and method that runs: `reported_as`, else its own."""
        return reported_names(self.asked, self.entries)

    @property
    def runs_a_reported_model(self) -> bool:
        """Whether a model that runs is one of the paper's, or stands for one."""
        return not REPORTED_MODELS.isdisjoint(self.reported_as()["models"].values())
