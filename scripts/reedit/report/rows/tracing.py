"""What causal tracing says: average indirect effects by layer, and the layers where the MLPs' is largest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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
    by_fact: dict[tuple[str, int, int], dict[int, list[float]]] = {}
    for row in rows:
        key = (row["kind"], row["layer"], row["layers"])
        gained = row["p_restored"] - row["p_corrupted"]
        by_fact.setdefault(key, {}).setdefault(row["case_id"], []).append(gained)
    found = []
    for (kind, layer, count), facts in by_fact.items():
        means = np.array([np.mean(samples) for samples in facts.values()])
        error = means.std(ddof=1) / np.sqrt(len(means)) if len(means) > 1 else float("nan")
        found.append(Effect(kind, tuple(range(layer, layer + count)), float(means.mean()), float(error)))
    return Effects(
        len({row["case_id"] for row in rows}),
        float(np.mean([row["p_clean"] for row in rows])),
        float(np.mean([row["p_corrupted"] for row in rows])),
        tuple(found),
    )
