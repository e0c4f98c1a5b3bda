"""What tuning is after, as config.yaml says it: to reach one measure, then as much of others as can be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reedit.evaluate.measures import KINDS, METRICS

Means = Mapping[str, float]  # by metric, accuracy in 0..1, NaN where no fact has a prompt of it


def means_of(values: np.ndarray) -> dict[str, float]:
    """The mean accuracy of each metric over facts, of case means [facts, metrics, kinds]."""
    accuracy = values[:, :, KINDS.index("accuracy")]
    known = ~np.isnan(accuracy)
    return {
        metric: float(accuracy[known[:, place], place].mean()) if known[:, place].any() else float("nan")
        for place, metric in enumerate(METRICS)
    }


@dataclass(frozen=True)
class Objective:
    """`reach`: what has to be had, in per cent by metric; `maximise`: what is then wanted most."""

    reach: Mapping[str, float]
    maximise: Sequence[str]

    def missing(self, means: Means) -> float:
        """By how much the worst of what has to be reached is not; 0 or less where all is.

        A metric that no fact has a prompt of is not reached.
        """
        short = [wanted / 100 - float(np.nan_to_num(means[metric])) for metric, wanted in self.reach.items()]
        return max(short, default=0.0)

    def wanted(self, means: Means) -> list[float]:
        """The measures that are maximised, 0 for one that no fact has a prompt of."""
        return [float(np.nan_to_num(means[metric])) for metric in self.maximise]

    def rank(self, means: Means) -> tuple[bool, float]:
        """Larger is better: all is reached, then the mean of what is maximised; else, how near it comes."""
        missing = self.missing(means)
        return missing <= 0, float(np.mean(self.wanted(means))) if missing <= 0 else -missing
