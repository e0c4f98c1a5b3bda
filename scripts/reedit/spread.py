"""SPREAD: new weights of the causal layers that write the optimised hidden states (paper, section 2).

Design, section 4 (SPREAD).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from reedit.algorithms import Algorithm
from reedit.edits import Edit
from reedit.errors import InputError
from reedit.language_model import LanguageModel
from reedit.states import bare_outputs, edit_keys


def layer_update(keys: Tensor, residual: Tensor, moment: Tensor, weight: float) -> Tensor:
    """R K^T (lambda C + K K^T)^-1 in double precision through a Cholesky factorisation, [d, key].

    `keys` [m, key], `residual` [m, d], `moment` C [key, key], `weight` lambda.
    """
    system = weight * moment.double() + keys.T @ keys
    factor, failed = torch.linalg.cholesky_ex(system)
    if failed:
        raise InputError(
            f"lambda C + K K^T of size {len(system)} is not positive definite; expected more tokens"
        )
    return torch.cholesky_solve(keys.T @ residual.double(), factor).T


def check_moments(moments: Mapping[int, Tensor], counts: Mapping[int, int]) -> None:
    """Raise InputError before any work if a second moment cannot be factorised."""
    for layer, moment in moments.items():
        if torch.linalg.cholesky_ex(moment.double())[1]:
            raise InputError(
                f"second moment of layer {layer}: not positive definite"
                f" ({counts[layer]} tokens for {len(moment)} dimensions); expected a larger corpus"
            )


@torch.no_grad()
def compute_updates(
    model: LanguageModel,
    edits: Sequence[Edit],
    targets: Tensor,
    layers: Sequence[int],
    moments: Mapping[int, Tensor],
    weight: float,
    algorithm: Algorithm,
) -> dict[int, Tensor]:
    """The updates of all causal layers, fp32, [d, key] each; the model is left bit for bit as it was.

    `targets` Z [m, d] at the output of the last layer; `weight` is mom2_update_weight.
    """
    before = {layer: model.weight(layer).clone() for layer in layers}
    updates: dict[int, Tensor] = {}
    try:
        for i, layer in enumerate(layers):
            keys = edit_keys(model, edits, layer)  # [m, key], on the weights as updated so far
            current = bare_outputs(model, edits, layers[-1])  # [m, d]
            residual = (targets - current).double() / algorithm.divide(len(layers) - i)
            updates[layer] = layer_update(keys, residual, moments[layer], weight).float()
            model.set_weight(layer, before[layer] + updates[layer])
    finally:
        for layer in layers:
            model.set_weight(layer, before[layer])
    return updates


def apply_updates(model: LanguageModel, updates: Mapping[int, Tensor]) -> None:
    """Add every layer's update to its weight."""
    for layer, update in updates.items():
        model.set_weight(layer, model.weight(layer) + update)
