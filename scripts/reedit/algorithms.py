"""The paper's Figure 2 as data: what is optimised, where it spreads, how the residual is divided."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Algorithm:
    """One row of Figure 2.

    `divide` turns the number of causal layers still to be updated, this one included, into the
    divisor of the residual at that layer (design, section 4, SPREAD).
    """

    name: str
    optimises: str  # h: the output of the last causal layer, residual stream included
    spreads: str  # causal_layers: the MLP output weights of all causal layers
    divide: Callable[[int], float]


ALGORITHMS: Mapping[str, Algorithm] = {
    "memit": Algorithm("memit", optimises="h", spreads="causal_layers", divide=float),
}
