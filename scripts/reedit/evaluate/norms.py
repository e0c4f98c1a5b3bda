"""How large edits have made the weights: norms and condition of every edited layer, by singular values.

A condition number that grows with the edits foretells collapse (Ma et al., 2024, "Perturbation-Restrained
Sequential Model Editing"), and so does a growing norm (Gupta et al., 2025, "Lifelong Sequential Knowledge
Editing without Model Degradation").
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from reedit.models.language_model import LanguageModel


@torch.no_grad()
def norm_rows(model: LanguageModel, layers: Sequence[int], k: int) -> list[dict[str, Any]]:
    """Rows of the schema ``norms`` for the model as it is, one an edited layer; computed in fp64.

    W_k is taken before it is cast for the forward pass.
    """
    rows = []
    for layer in layers:
        weight = model.weight(layer).double()  # [d, key]
        rows.append(
            {
                "k": k,
                "layer": layer,
                "weight_norm": float(weight.norm()),
                "condition": condition(singular_values(weight)),
                "after": None,
            }
        )
    return rows


def singular_values(matrix: Tensor) -> Tensor:
    """The singular values of a matrix in descending order, NaN where it is not finite."""
    if not matrix.isfinite().all():
        return matrix.new_full((min(matrix.shape),), torch.nan)
    return torch.linalg.svdvals(matrix)


def condition(values: Tensor) -> float:
    """The largest by the smallest of singular values in descending order; infinite for a singular matrix."""
    return float(values[0] / values[-1])
