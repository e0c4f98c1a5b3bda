"""The paper's Figure 2 as data: what is optimised, where it spreads, how the residual is divided.

Vectors, each at the subject's last token t: `hidden` is the output of a layer (residual stream included),
`attention` and `mlp` are the outputs of its two modules before they are added to the residual stream.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Algorithm:
    """One row of Figure 2, and what the published implementations do besides (design, sections 4 and 5)."""

    name: str
    optimises: tuple[str, ...]  # vectors of the last causal layer that get a delta
    spreads: str  # the one of them that the weights are made to write
    divide: Callable[[int], float] | None  # layers still to be updated, this one included -> divisor of
    # the residual; None: rank-one updates of a single layer, one edit after another
    damped: bool  # a tenth of the NLL once every label is the argmax
    released_space: Callable[
        [str], bool
    ]  # repository name -> whether `released` puts a space before target_new

    @property
    def one_by_one(self) -> bool:
        """Whether edits run strictly one after another, each on the weights that the others left."""
        return self.divide is None


ALGORITHMS: Mapping[str, Algorithm] = {
    "rome": Algorithm(
        name="rome",
        optimises=("mlp",),
        spreads="mlp",
        divide=None,
        damped=False,
        released_space=lambda repository: True,
    ),
    "memit": Algorithm(
        name="memit",
        optimises=("hidden",),
        spreads="hidden",
        divide=float,
        damped=False,
        released_space=lambda repository: True,
    ),
    "pmet": Algorithm(
        name="pmet",
        optimises=("attention", "mlp"),
        spreads="mlp",
        divide=math.sqrt,
        damped=True,
        released_space=lambda repository: "gpt" in repository.lower(),
    ),
}
