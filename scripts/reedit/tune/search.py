"""What is tried next, and what of it was worth it: Optuna's, in a journal that outlives a kill."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from reedit.methods.tunable import Range

ROW = "row"  # what an attempt told of itself, among its attributes in the journal
STARTUP = 6  # attempts spread over the space before any is learned from

Space = Mapping[str, Range | Sequence[Any]]


class Search:
    """Attempts at the values of `space` that make `goals` small or large: {"nll": "minimize", ...}.

    search = Search(folder / "journal", "spread", space, {"specificity": "maximize"}, seed)
    attempt = search.ask()
    search.tell(attempt, values, missing=0.0, row={...})

    A Range is searched as it says, a list by its places. Of one or two goals is learned; where more are at
    odds, attempts are drawn: as few as there is time for cover more so (benchmarks/compare_search.py).
    What a killed job was at counts for nothing.
    """

    def __init__(self, journal: Path, name: str, space: Space, goals: Mapping[str, str], seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        journal.parent.mkdir(parents=True, exist_ok=True)
        self._space = {key: distribution(one) for key, one in space.items()}
        self._study = optuna.create_study(
            study_name=name,
            storage=JournalStorage(JournalFileBackend(str(journal))),
            directions=list(goals.values()),
            load_if_exists=True,
        )
        for cut_off in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(cut_off.number, state=TrialState.FAIL)
        # a sampler that begins anew would draw what it has drawn before
        begun = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = (
            optuna.samplers.RandomSampler(seed=seed + begun)
            if len(goals) > 2
            else optuna.samplers.TPESampler(seed=seed + begun, n_startup_trials=STARTUP, multivariate=True)
        )

    def begin_with(self, values: Mapping[str, Any]) -> None:
        """Try these values first, once, whatever is found."""
        if values not in [trial.system_attrs.get("fixed_params") for trial in self._study.get_trials()]:
            self._study.enqueue_trial(dict(values))

    def ask(self) -> Trial:
        """The next attempt; its `params` are values of the space, of a list the place."""
        return self._study.ask(self._space)

    def tell(self, attempt: Trial, values: Sequence[float], missing: float, row: Mapping[str, Any]) -> None:
        """What an attempt came to; `missing`: by how much a constraint is not met, at most 0 where it is."""
        attempt.set_constraint("reach", missing)
        attempt.set_user_attr(ROW, json.dumps(row))
        self._study.tell(attempt, list(values))

    def give_up(self, attempt: Trial) -> None:
        """An attempt that came to nothing: its values cannot be edited with."""
        self._study.tell(attempt, state=TrialState.FAIL)

    @property
    def made(self) -> int:
        """How many attempts were asked for, those that came to nothing too."""
        return len([one for one in self._study.get_trials(deepcopy=False) if one.state.is_finished()])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What all attempts told, in order."""
        return [_row(trial) for trial in self._study.get_trials(states=(TrialState.COMPLETE,))]

    @property
    def front(self) -> list[dict[str, Any]]:
        """What those told that no other one is better than in every goal, constraints met where any are."""
        return [_row(trial) for trial in self._study.best_trials]


def distribution(values: Range | Sequence[Any]) -> BaseDistribution:
    """How Optuna says it."""
    if not isinstance(values, Range):
        return CategoricalDistribution(range(len(values)))
    if values.step:
        return IntDistribution(int(values.low), int(values.high), step=values.step)
    return FloatDistribution(values.low, values.high, log=True)


def _row(trial: FrozenTrial) -> dict[str, Any]:
    return {**json.loads(trial.user_attrs[ROW]), "number": trial.number}
