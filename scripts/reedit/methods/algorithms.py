"""Locate-and-edit algorithms as data: what is optimised, where it spreads, what an update preserves.

Rows 1 to 3 are the paper's Figure 2, the others come from papers that its readers ask for (`source`).

Vectors, each at the subject's last token t: `hidden` is the output of a layer (residual stream included),
`attention` and `mlp` are the outputs of its two modules before they are added to the residual stream.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Stages = Callable[[Sequence[int]], list[list[int]]]


def together(layers: Sequence[int]) -> list[list[int]]:
    """One stage: all layers share the residual of one target."""
    return [list(layers)]


def boundaries(layers: Sequence[int]) -> list[list[int]]:
    """The first and the last layer, one after the other, each with a target of its own."""
    return [[layer] for layer in dict.fromkeys((layers[0], layers[-1]))]


STAGES: Mapping[str, Stages] = {"together": together, "boundaries": boundaries}


@dataclass(frozen=True)
class Algorithm:
    """One algorithm, and what the published implementations do besides (design, sections 4 and 5).

    An iteration goes through the stages in turn: OPTIMIZATION at the last layer of a stage, then SPREAD over
    its layers.
    """

    name: str
    source: str
    takes: str = "targets"  # a step: they are found, then written; or gradients, pairs (iteration.TAKES)
    optimises: tuple[str, ...] = ("hidden",)  # vectors of a stage's last layer that get a delta
    spreads: str = "hidden"  # the one of them that the weights are made to write
    share: str = "even"  # of the residual that a layer takes on: see spread/spread.py
    staged: str = "together"  # see STAGES
    one_by_one: bool = False  # edits run strictly one after another, each on the weights that the others left
    solves: str = "least_squares"  # how an update is made of keys and residuals: see spread/solve.py
    preserves: str = "moments"  # what an update keeps as it is: see spread/solve.py
    weight: str | None = "mom2_update_weight"  # hyperparameter: what is preserved, against what is written
    requires: tuple[str, ...] = ("mom2_update_weight",)  # hyperparameters beside those that all require
    may: tuple[str, ...] = ()  # hyperparameters that it alone reads, and need not be said
    width: int = 5  # layers that are edited where they are tuned
    tunes: tuple[str, ...] = ("mom2_update_weight",)  # what may be tuned, beside OPTIMIZATION's keys
    damped: bool = False  # a tenth of the NLL once every label is the argmax
    leads: bool = False  # an edit is done once its target leads behind every prefix: see prob_cutoff
    protects: str = "none"  # in batches: others, whose keys an update leaves alone
    keeps_solved: bool = (
        False  # as published, the keys that stay are those solved for, not the edited model's
    )
    distinct_keys: bool = False  # every target is written exactly: no two edits may have one key
    one_key: bool = False  # one by one: the averaged key takes the bare prompt's place
    at_unedited: bool = False  # OPTIMIZATION runs at theta_1, whatever is written already
    in_rounds: bool = False  # SPREAD goes on with what is far from its target: see spread/rounds.py
    replays: bool = False  # optimised at a stage's first layer; what the others get then is their target
    ends: bool = False  # by gradients: the target ends with the token that ends a text
    shuffles: bool = False  # likewise: every epoch has an order of its own
    spaced_for: str = ""  # `released` puts a space before target_new for models with this in their repository

    def stages(self, layers: Sequence[int]) -> list[list[int]]:
        """The layers of each stage, in the order of an iteration."""
        return STAGES[self.staged](layers)

    def target_layer(self, layers: Sequence[int]) -> int:
        """The layer of a stage at which OPTIMIZATION finds its target."""
        return layers[0] if self.replays else layers[-1]

    @property
    def finds_targets(self) -> bool:
        """Whether it is one that locates and edits: OPTIMIZATION, then SPREAD."""
        return self.takes == "targets"

    @property
    def can_hold(self) -> bool:
        """Whether SPREAD can go on writing targets found earlier: one an edit, all in one system."""
        return self.finds_targets and not self.one_by_one and len(self.stages((0, 1))) == 1

    def released_space(self, repository: str) -> bool:
        """Whether `released` puts a space before target_new for a model of that repository."""
        return self.spaced_for in repository.lower()


# what a method that finds no targets says: nothing of OPTIMIZATION or of moments
UNTARGETED: Mapping[str, Any] = {"optimises": (), "weight": None, "requires": ()}

ALGORITHMS: Mapping[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm(
            "rome",
            "Meng et al. 2022, Locating and editing factual associations in GPT",
            optimises=("mlp",),
            spreads="mlp",
            one_by_one=True,
            solves="rank_one",
            weight=None,
            requires=(),
            width=1,
            tunes=(),
        ),
        Algorithm("memit", "Meng et al. 2023, Mass-editing memory in a transformer"),
        Algorithm(
            "pmet",
            "Li et al. 2024, PMET: precise model editing in a transformer",
            optimises=("attention", "mlp"),
            spreads="mlp",
            share="root",
            damped=True,
            spaced_for="gpt",
        ),
        Algorithm(
            "r_rome",
            "Gupta et al. 2024, Rebuilding ROME: resolving model collapse during sequential model editing",
            optimises=("mlp",),
            spreads="mlp",
            one_by_one=True,
            solves="rank_one",
            weight=None,
            requires=(),
            width=1,
            tunes=(),
            one_key=True,
        ),
        Algorithm(
            "emmet",  # memit with equality instead of least squares: nothing weighs against what is written
            "Gupta et al. 2024, A unified framework for model editing",
            weight="emmet_lambda",
            requires=(),
            width=1,
            tunes=("emmet_lambda",),
            distinct_keys=True,
        ),
        Algorithm(
            "alphaedit",
            "Fang et al. 2025, AlphaEdit: null-space constrained knowledge editing for language models",
            preserves="null_space",
            weight="L2",
            protects="others",
            requires=("L2", "nullspace_threshold"),
            tunes=("L2", "nullspace_threshold"),
        ),
        Algorithm(
            "memit_fe",
            "Forward replay 2026, arXiv 2605.00358",
            share="whole",
            replays=True,
        ),
        Algorithm(
            "blue",
            "Li et al. 2025, Rethinking residual distribution in locate-then-edit model editing",
            staged="boundaries",
        ),
        Algorithm(
            "encore",  # with update_norm_lambda
            "Gupta et al. 2025, Lifelong sequential knowledge editing without model degradation",
            leads=True,
            protects="others",
            keeps_solved=True,
            requires=("mom2_update_weight", "update_norm_lambda"),
            tunes=("mom2_update_weight", "update_norm_lambda"),
        ),
        Algorithm(
            "betaedit",
            "Liu et al. 2026, BetaEdit: null-space constrained sequential model editing",
            solves="refreshed",
            weight="L2",
            protects="all",
            keeps_solved=True,
            requires=("L2", "nullspace_threshold", "lambda1", "tau"),
            tunes=("L2", "nullspace_threshold", "lambda1"),
        ),
        Algorithm(
            "nse",  # with neuron_threshold, where a share of the neurons is written to
            "Jiang et al. 2024, Neuron-level sequential editing for large language models",
            protects="others",
            at_unedited=True,
            in_rounds=True,
            requires=("mom2_update_weight", "alpha", "upper_bound", "max_iterations"),
            may=("neuron_threshold",),
            tunes=("mom2_update_weight", "alpha", "upper_bound"),
        ),
        Algorithm(
            "ft_m",
            "Zhang et al. 2024, A comprehensive study of knowledge editing for large language models",
            takes="gradients",
            width=1,
            tunes=("lr", "num_steps"),
            **UNTARGETED,
        ),
        Algorithm(
            "locft_bf",
            "Yang et al. 2026, Fine-tuning done right in model editing",
            takes="gradients",
            width=1,
            tunes=("lr", "num_steps"),
            **UNTARGETED,
            ends=True,
            shuffles=True,
        ),
        Algorithm(
            "ultraedit",
            "Gu et al. 2025, UltraEdit: training-, subject-, and memory-free lifelong editing",
            takes="pairs",
            tunes=("lr",),
            **UNTARGETED,
        ),
    )
}
