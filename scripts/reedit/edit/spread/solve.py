"""What an update leaves as it is: keys weighed by their second moment C, or every key outside C's null space.

Either way SPREAD solves R (lambda I + K^T S)^-1 S^T with S made from the keys K alone: C^-1 K, or K's
projection onto the null space. With the first this is Woodbury's form of R K^T (lambda C + K K^T)^-1.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from reedit.errors import InputError


def factorise(moment: Tensor, layer: int, tokens: int, ridge: float = 0.0) -> Tensor:
    """The lower Cholesky factor of C + ridge I in fp64, [key, key]; InputError where there is none."""
    wide = moment.double()
    if ridge:
        wide = wide + ridge * torch.eye(len(wide), dtype=wide.dtype, device=wide.device)
    factor, failed = torch.linalg.cholesky_ex(wide)
    if failed:
        raise InputError(
            f"second moment of layer {layer}: not positive definite"
            f" ({tokens} tokens for {len(moment)} dimensions); expected a larger corpus"
        )
    return factor


def null_space(values: Tensor, vectors: Tensor, threshold: float, layer: int) -> Tensor:
    """An orthonormal basis of the directions in which C is below `threshold`, fp64 [key, r].

    `values` [key] and `vectors` [key, key] are C's eigenvalues and, as columns, its eigenvectors. Raises
    InputError where no direction is left to write in.
    """
    small = values < threshold
    if not small.any():
        raise InputError(
            f"hyperparameters: nullspace_threshold: found {threshold}, expected more than"
            f" {float(values.min()):.3g}, the smallest eigenvalue of the second moment of layer {layer}"
        )
    return vectors[:, small].double()


def _by_moment(keys: Tensor, factor: Tensor) -> Tensor:
    return torch.cholesky_solve(keys.T, factor)  # C^-1 K, [key, m]


def _by_null_space(keys: Tensor, basis: Tensor) -> Tensor:
    return basis @ (basis.T @ keys.T)  # P K, [key, m]


# Algorithm.preserves -> S [key, m] of keys [m, key] and what the job has read of a layer's second moment
SOLVES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "moments": _by_moment,
    "null_space": _by_null_space,
}
