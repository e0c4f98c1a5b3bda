"""What may be tuned of an algorithm: how far each value is looked for, and what stays as it is published.

    tunable("alphaedit").spread  # ("L2", "nullspace_threshold"): by SPREAD of targets that are there

The layers come before all of it. What OPTIMIZATION reads is the same of every algorithm; what SPREAD reads is
declared by each (Algorithm.tunes).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reedit.methods.algorithms import ALGORITHMS


@dataclass(frozen=True)
class Range:
    """Where a value is looked for: by its logarithm, or in whole steps."""

    low: float
    high: float
    step: int | None = None


# wide enough for every published file of the paper's methods and of AlphaEdit, EMMET and ENCORE
RANGES: Mapping[str, Range] = {
    "v_lr": Range(0.03, 1.0),
    "clamp_norm_factor": Range(0.3, 10.0),
    "v_weight_decay": Range(1e-4, 1.0),
    "v_num_grad_steps": Range(5, 30, step=5),
    "mom2_update_weight": Range(3.0, 100_000.0),
    "update_norm_lambda": Range(0.1, 10_000.0),
    "emmet_lambda": Range(1e-4, 1e4),
    "L2": Range(0.01, 10_000.0),
    "nullspace_threshold": Range(1e-4, 10.0),
}
OPTIMIZATION = ("v_lr", "clamp_norm_factor", "v_weight_decay", "v_num_grad_steps")
# where tuning begins, and what it leaves alone: the values of most published files
PUBLISHED: Mapping[str, Any] = {
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
}


@dataclass(frozen=True)
class Tunable:
    """The keys of one algorithm that are tuned, by the part of an edit that reads them."""

    width: int  # neighboring layers that are edited
    optimization: tuple[str, ...]
    spread: tuple[str, ...]

    @property
    def start(self) -> dict[str, Any]:
        """Published values of all keys but the layers."""
        names = ("kl_factor", *self.optimization, *self.spread)
        return {name: PUBLISHED[name] for name in names}


# not what finds no targets, nor what asks for more than is tuned: NSE's bounds, BetaEdit's spaces
TUNABLE = [
    name
    for name, algorithm in ALGORITHMS.items()
    if algorithm.finds_targets and set(algorithm.requires) <= set(algorithm.tunes)
]


def tunable(algorithm: str) -> Tunable:
    """What may be tuned of an algorithm of TUNABLE."""
    found = ALGORITHMS[algorithm]
    return Tunable(found.width, OPTIMIZATION, found.tunes)
