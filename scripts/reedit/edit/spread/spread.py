"""SPREAD: new weights of the causal layers that write the optimised vectors (paper, section 2).

Design, section 4 (SPREAD, ROME). What is known of the second moments comes in fp64, made once a run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reedit.edit.edits import Edit
from reedit.edit.spread.post_norm import before_norm
from reedit.edit.spread.solve import SOLVES
from reedit.edit.states import Walk, bare_rows, rewriting_rows
from reedit.errors import InputError
from reedit.methods.algorithms import Algorithm
from reedit.models.language_model import LanguageModel, wide


class NotFinite(Exception):
    """Keys or residuals of some edits, told by their places, are not finite at a layer."""

    def __init__(self, edits: Sequence[int], layer: int) -> None:
        super().__init__(f"SPREAD, layer {layer}")
        self.edits = edits


@dataclass(frozen=True)
class Spread:
    """What SPREAD gives: the update of every layer, [d, key], and the keys it was solved for, [m, key]."""

    updates: dict[int, Tensor]
    keys: dict[int, Tensor]


def layer_update(
    keys: Tensor,
    residual: Tensor,
    factor: Tensor,
    algorithm: Algorithm,
    weight: float,
    protected: Tensor | None = None,
) -> Tensor:
    """R (lambda I + K^T S)^-1 S^T in double precision, [d, key]; S is C^-1 K or P K (preservation.py).

    `keys` [m, key], `residual` [m, d], `factor` as the algorithm's way of preserving reads it, `weight`
    lambda. What `protected` keys [n, key] say stays as it is: they are solved for with a residual of zero.
    A system of m + n unknowns, and C is factorised once for all k.
    """
    count = len(keys)
    if protected is not None:
        keys = torch.cat([protected.to(keys), keys])
    solved = SOLVES[algorithm.preserves](keys, factor)  # S, [key, n + m]
    system = keys @ solved  # [n + m, n + m]
    system.diagonal().add_(weight)
    lower, failed = torch.linalg.cholesky_ex(system)
    if failed:
        raise InputError(
            f"SPREAD's system of {len(system)} keys is not positive definite; expected a larger"
            f" {algorithm.weight} or cases with different subjects"
        )
    return residual.double().T @ torch.cholesky_solve(solved.T, lower)[-count:]


def mean_key(own: Tensor) -> Tensor:
    """Half the bare prompt's key plus half the mean of the prefixed keys; `own` [1 + n, key]."""
    return (own[0] + own[1:].mean(0)) / 2 if len(own) > 1 else own[0]


def split_by_edit(states: Tensor, edits: Sequence[Edit]) -> list[Tensor]:
    """States of all rewriting rows, [rows, .], as one tensor an edit."""
    return list(states.split([len(edit.rewriting) for edit in edits]))


@torch.no_grad()
def compute_updates(
    model: LanguageModel,
    edits: Sequence[Edit],
    targets: Tensor,
    algorithm: Algorithm,
    layers: Sequence[int],
    factors: Mapping[int, Tensor],
    weight: float,
    protected: Mapping[int, Tensor] | None = None,
) -> Spread:
    """The updates of all layers of a stage; the model is left bit for bit as it was.

    `targets` Z [m, d] of the vector that the algorithm spreads, at the last layer; `factors` by layer;
    `weight` is lambda; `protected`, by layer, keys whose values stay. Raises NotFinite.
    """
    before = {layer: model.weight(layer) for layer in layers}
    spread = Spread({}, {})
    rows = Walk(model, rewriting_rows(edits), layers[0])
    bare = Walk(model, bare_rows(edits), layers[0])
    try:
        for i, layer in enumerate(layers):
            rows.advance(layer)  # on the weights as updated so far
            bare.advance(layer)
            own = split_by_edit(rows.read(layer, ["key"])["key"].double(), edits)
            keys = torch.stack([mean_key(states) for states in own])  # [m, key]
            current = bare.read(layers[-1], [algorithm.spreads])[algorithm.spreads]  # [m, d]
            residual = (targets - current) / algorithm.divide(len(layers) - i)
            residual = before_norm(model, layer, torch.stack([states[0] for states in own]), residual)
            bad = ~(keys.isfinite().all(1) & residual.isfinite().all(1))  # [m]
            if bad.any():
                raise NotFinite(bad.nonzero()[:, 0].tolist(), layer)
            stay = (protected or {}).get(layer)
            known = factors[layer].to(keys.device)
            update = layer_update(keys, residual, known, algorithm, weight, stay)
            spread.keys[layer], spread.updates[layer] = keys, update.to(before[layer].dtype)
            model.set_weight(layer, before[layer] + spread.updates[layer])
    finally:
        for layer in layers:
            model.set_weight(layer, before[layer])
    return spread


def rank_one_update(
    keys: Tensor, delta: Tensor, factor: Tensor | None, weight: Tensor | None = None
) -> Tensor:
    """ROME's update (z - W k) u^T / (k . u), [d, key].

    `keys` of the edit's rewriting rows, the bare prompt's first, [1 + n, key]; `delta` [d] is z - W k of the
    bare prompt, whose key k is; `factor` of C where the hyperparameters ask for mom2_adjustment. Given W,
    `weight` [d, key], their mean is k everywhere (R-ROME, section 3).
    """
    mean = keys.double().mean(0)
    u = mean if factor is None else torch.cholesky_solve(mean[:, None], factor)[:, 0]
    u = u / u.norm()
    key, missing = keys[0].double(), delta.double()
    if weight is not None:
        key, missing = mean, missing + weight.double() @ (key - mean)  # z - W mean; a bias is in both
    return torch.outer(missing, u) / (key @ u)


def apply_updates(model: LanguageModel, updates: Mapping[int, Tensor]) -> None:
    """Add every layer's update to its weight."""
    for layer, update in updates.items():
        model.set_weight(layer, model.weight(layer) + wide(update))
