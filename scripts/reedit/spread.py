"""SPREAD: new weights of the causal layers that write the optimised vectors (paper, section 2).

Design, section 4 (SPREAD, ROME). Second moments come as the lower Cholesky factors of C, in fp64, made
once a run.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from reedit.algorithms import Algorithm
from reedit.edits import Edit
from reedit.errors import InputError
from reedit.language_model import LanguageModel, wide
from reedit.states import Walk, bare_rows, rewriting_rows


class NotFinite(Exception):
    """Keys or residuals of some edits, told by their places, are not finite at a layer."""

    def __init__(self, edits: Sequence[int], layer: int) -> None:
        super().__init__(f"SPREAD, layer {layer}")
        self.edits = edits


def factorise(moment: Tensor, layer: int, tokens: int) -> Tensor:
    """The lower Cholesky factor of C in fp64, [key, key]; InputError where C has none."""
    factor, failed = torch.linalg.cholesky_ex(moment.double())
    if failed:
        raise InputError(
            f"second moment of layer {layer}: not positive definite"
            f" ({tokens} tokens for {len(moment)} dimensions); expected a larger corpus"
        )
    return factor


def layer_update(keys: Tensor, residual: Tensor, factor: Tensor, weight: float) -> Tensor:
    """R K^T (lambda C + K K^T)^-1 in double precision, [d, key].

    `keys` [m, key], `residual` [m, d], `factor` of C, `weight` lambda. By Woodbury's identity this is
    R (lambda I + K^T C^-1 K)^-1 K^T C^-1: a system of m unknowns, and C is factorised once for all k.
    """
    solved = torch.cholesky_solve(keys.T, factor)  # C^-1 K, [key, m]
    system = keys @ solved  # [m, m]
    system.diagonal().add_(weight)
    lower, failed = torch.linalg.cholesky_ex(system)
    if failed:
        raise InputError(
            f"lambda I + K^T C^-1 K of {len(system)} edits is not positive definite;"
            " expected a larger mom2_update_weight or cases with different subjects"
        )
    return residual.double().T @ torch.cholesky_solve(solved.T, lower)


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
) -> dict[int, Tensor]:
    """The updates of all causal layers, [d, key] each; the model is left bit for bit as it was.

    `targets` Z [m, d] of the vector that the algorithm spreads, at the last layer; `factors` by layer;
    `weight` is mom2_update_weight. Raises NotFinite.
    """
    before = {layer: model.weight(layer) for layer in layers}
    updates: dict[int, Tensor] = {}
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
            bad = ~(keys.isfinite().all(1) & residual.isfinite().all(1))  # [m]
            if bad.any():
                raise NotFinite(bad.nonzero()[:, 0].tolist(), layer)
            factor = factors[layer].to(keys.device)
            updates[layer] = layer_update(keys, residual, factor, weight).to(before[layer].dtype)
            model.set_weight(layer, before[layer] + updates[layer])
    finally:
        for layer in layers:
            model.set_weight(layer, before[layer])
    return updates


def rank_one_update(keys: Tensor, delta: Tensor, factor: Tensor | None) -> Tensor:
    """ROME's update (z - W k) u^T / (k . u), [d, key].

    `keys` of the edit's rewriting rows, the bare prompt's first, [1 + n, key]; `delta` [d] is z - W k;
    `factor` of C where the hyperparameters ask for mom2_adjustment.
    """
    u = keys.double().mean(0)
    if factor is not None:
        u = torch.cholesky_solve(u[:, None], factor)[:, 0]
    u = u / u.norm()
    return torch.outer(delta.double(), u) / (keys[0].double() @ u)


def apply_updates(model: LanguageModel, updates: Mapping[int, Tensor]) -> None:
    """Add every layer's update to its weight."""
    for layer, update in updates.items():
        model.set_weight(layer, model.weight(layer) + wide(update))
