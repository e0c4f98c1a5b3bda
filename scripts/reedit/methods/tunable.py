"""What may be tuned of an algorithm: how far each value is looked for, and what stays as it is published.

    tunable("alphaedit").spread  # ("L2", "nullspace_threshold"): by SPREAD of targets that are there

The layers come before all of it. What OPTIMIZATION reads is the same of every algorithm that finds targets;
what SPREAD reads, or what is done in the place of both, is declared by each (Algorithm.tunes).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.hyperparameters import READERS, kinds


@dataclass(frozen=True)
class Range:
    """Where a value is looked for: by its logarithm, or in whole steps."""

    low: float
    high: float
    step: int | None = None

    def at(self, part: float) -> float:
        """The value a part of the way from the lowest to the highest."""
        if self.step:
            return int(self.low) + self.step * round(part * (self.high - self.low) / self.step)
        return self.low * math.exp(part * math.log(self.high / self.low))


# by Algorithm.takes; wide enough for every published file of the algorithms here
RANGES: Mapping[str, Mapping[str, Range]] = {
    "targets": {
        "v_lr": Range(0.03, 1.0),
        "clamp_norm_factor": Range(0.3, 10.0),
        "v_weight_decay": Range(1e-4, 1.0),
        "v_num_grad_steps": Range(5, 30, step=5),
        "mom2_update_weight": Range(3.0, 100_000.0),
        "update_norm_lambda": Range(0.1, 10_000.0),
        "emmet_lambda": Range(1e-4, 1e4),
        "L2": Range(0.01, 10_000.0),
        "nullspace_threshold": Range(1e-4, 10.0),
        "lambda1": Range(1.0, 100_000.0),
        "alpha": Range(0.1, 100.0),
        "upper_bound": Range(10.0, 100_000.0),
    },
    "gradients": {"lr": Range(1e-5, 0.01), "num_steps": Range(5, 50, step=5)},
    "pairs": {"lr": Range(1e-7, 0.01)},
}
OPTIMIZATION = ("v_lr", "clamp_norm_factor", "v_weight_decay", "v_num_grad_steps")
# where tuning begins, and what it leaves alone: the values of most published files
START: Mapping[str, Mapping[str, Any]] = {
    "targets": {
        "v_lr": 0.5,
        "clamp_norm_factor": 1.0,
        "v_weight_decay": 0.5,
        "v_num_grad_steps": 20,
        "kl_factor": 0.0625,
        "mom2_update_weight": 15000.0,
        "update_norm_lambda": 20.0,
        "emmet_lambda": 0.1,
        "L2": 10.0,
        "nullspace_threshold": 0.02,
        "lambda1": 3000.0,
        "tau": 1000,
        "alpha": 15.0,
        "upper_bound": 100.0,
        "max_iterations": 3,
    },
    "gradients": {"lr": 5e-4, "num_steps": 25, "batch_size": 4},  # theirs is made for thousands of cases
    "pairs": {"lr": 1e-6},
}


@dataclass(frozen=True)
class Tunable:
    """The keys of one algorithm that are tuned, by the part of an edit that reads them."""

    width: int  # neighboring layers that are edited
    ranges: Mapping[str, Range]
    start: Mapping[str, Any]  # published values of all keys but the layers
    optimization: tuple[str, ...]  # none, where no targets are found
    spread: tuple[str, ...]


def tunable(name: str) -> Tunable:
    """What may be tuned of an algorithm."""
    of = ALGORITHMS[name]
    reader, published = READERS[of.takes], START[of.takes]
    required = {key for key in kinds(reader) if not hasattr(reader, key)}
    needed = {*required, *of.requires, *of.tunes} - {"layers"}
    return Tunable(
        of.width,
        RANGES[of.takes],
        {key: value for key, value in published.items() if key in needed},
        OPTIMIZATION if of.finds_targets else (),
        of.tunes,
    )
