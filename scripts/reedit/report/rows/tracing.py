"""What causal tracing says: average indirect effects by layer, and the layers where the MLPs' is largest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

KINDS = {  # of state, in the order of their columns
    "hidden": "hidden state of one layer",
    "mlp": "MLP of {} layers",
    "attention": "attention of {} layers",
}


@dataclass(frozen=True)
class Effect:
    """The average indirect effect of restoring one kind of state in some layers, over facts."""

    kind: str
    layers: tuple[int, ...]
    mean: float
    error: float  # standard error over facts


@dataclass(frozen=True)
class Effects:
    """All of a model and dataset, with the probability of the answer before and after the noise."""

    facts: int
    p_clean: float
    p_corrupted: float
    effects: tuple[Effect, ...]

    def of(self, kind: str) -> list[Effect]:
        """Those of one kind, layer by layer."""
        return [effect for effect in self.effects if effect.kind == kind]

    def words(self, kind: str) -> str:
        """A kind of state with the number of its layers."""
        return KINDS[kind].format(len(self.of(kind)[0].layers))

    @property
    def critical(self) -> Effect:
        """The window of layers whose MLPs, restored together, give back most.

        Not with layer 0, where another has a choice: its MLP knows the subject's token rather than its facts.
        """
        windows = self.of("mlp")
        return max(windows[1:] or windows, key=lambda effect: effect.mean)


def effects(rows: Sequence[Mapping[str, Any]]) -> Effects:
    """From rows of the schema ``tracing``: means within a fact over samples, then over facts."""
    frame = pd.DataFrame(rows)
    frame["gained"] = frame["p_restored"] - frame["p_corrupted"]
    by_fact = frame.groupby(["kind", "layer", "layers", "case_id"], sort=False)["gained"].mean()
    found = by_fact.groupby(["kind", "layer", "layers"], sort=False).agg(["mean", "sem"])
    return Effects(
        frame["case_id"].nunique(),
        frame["p_clean"].mean(),
        frame["p_corrupted"].mean(),
        tuple(
            Effect(kind, tuple(range(layer, layer + count)), mean, error)
            for (kind, layer, count), mean, error in found.itertuples()
        ),
    )
