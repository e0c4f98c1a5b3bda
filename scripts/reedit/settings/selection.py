"""What a configuration selects: its entries, the runs that they give, and the hyperparameters of each."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reedit.errors import InputError, nearest
from reedit.evaluate.judge_plugins import plugin_of
from reedit.methods.hyperparameters import as_mapping, read_hyperparameters
from reedit.settings.configuration import check_configuration
from reedit.settings.entries import distinct_runs, entries_of, is_tuned
from reedit.settings.runs import Run
from reedit.settings.source_files import SourceFiles


class Selection:
    """The runs of a configuration, which is checked when this is made; raises InputError with one line.

    `config` is the configuration as it was written, `asked` the same typed, with defaults. `house` is the
    workflow's own folder: a relative path is looked for in the working directory, then there.
    """

    def __init__(self, config: Mapping[str, Any], house: Path) -> None:
        self.config, self.asked = config, check_configuration(config)
        self.files = SourceFiles(self.asked, house)
        self.entries = entries_of(self.asked)
        self.runs = distinct_runs(self.entries)
        self._hyperparameters: dict[tuple[str, str], dict[str, Any]] = {}  # by model and editing method
        for run in self.runs.values():
            self.hyperparameters(run)

    @property
    def compared_filters(self) -> list[dict[str, str]]:
        """model, pool and published of the neighbor filters beside which a published list is put."""
        return [asdict(pair) for pair in self.asked.report.eligible]

    @property
    def grouped_runs(self) -> list[Run]:
        """The runs on datasets that have groups of prompts beside the scored ones."""
        return [run for run in self.runs.values() if self.asked.datasets[run.entry.dataset].grouped]

    @property
    def models(self) -> list[str]:
        """Names of the models at work: those of the runs, whose filters are compared, and that judges."""
        others = [pair["model"] for pair in self.compared_filters] + [self.judge] * bool(self.judge)
        return list(dict.fromkeys([*(entry.model for entry in self.entries), *others]))

    @property
    def judge(self) -> str | None:
        """The model that judges what others say, where something is said to be judged, and by a model."""
        asked, judge = self.grouped_runs or self.asked.report.generation, self.asked.generation.judge
        return judge if asked and not plugin_of(judge) else None

    @property
    def datasets(self) -> list[str]:
        """Names of the datasets that are read, each once: those of the runs, and those compared."""
        compared = [pair[key] for pair in self.compared_filters for key in ("pool", "published")]
        return list(dict.fromkeys([*(entry.dataset for entry in self.entries), *compared]))

    def methods(self, regularising: bool) -> list[str]:
        """Names of the methods that edit, or of those that regularise what others have edited."""
        used = {run.method.name: bool(run.method.regularises) for run in self.runs.values()}
        return [name for name, regularises in used.items() if regularises == regularising]

    def hyperparameters(self, run: Run) -> dict[str, Any]:
        """The run's checked hyperparameters; their file is read once."""
        key = run.entry.model, run.method.edited_as
        if key not in self._hyperparameters:
            self._hyperparameters[key] = self._read_hyperparameters(run)
        return dict(self._hyperparameters[key])

    def _read_hyperparameters(self, run: Run) -> dict[str, Any]:
        algorithm, model = run.method.algorithm, run.entry.model
        known = self.asked.hyperparameters.get(algorithm, {})
        where = f"config: hyperparameters.{algorithm}.{model}"
        if model not in known:
            raise InputError(f"{where}: missing, needed by runs[{run.entry.index}]{nearest(model, known)}")
        value, changes = known[model], run.method.hyperparameters
        if changes:
            where += f" with methods.{run.method.edited_as}.hyperparameters"
        return self._checked_hyperparameters(value, algorithm, where, changes)

    def _checked_hyperparameters(
        self, value: Any, algorithm: str, where: str, changes: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What a value of the configuration's `hyperparameters` says, itself or as the path of a file."""
        given = self.files.found(value) if isinstance(value, str) else value
        if is_tuned(value) and not given.exists():
            raise InputError(
                f"{where}: {value}: not there yet; snakemake {value} makes it, asked for with other"
                " hyperparameters, or without a run that needs these"
            )
        return as_mapping(read_hyperparameters(given, algorithm, where, changes))
