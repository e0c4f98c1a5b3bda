"""From keys and residuals to an update, which leaves other keys as they are.

These keys are weighed by their second moment C, or all of them outside C's null space stay. Either way SPREAD
solves R (lambda I + K^T S)^-1 S^T with S made from the keys K alone: C^-1 K, or K's projection onto the null
space. With the first this is Woodbury's form of R K^T (lambda C + K K^T)^-1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
PRESERVES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "moments": _by_moment,
    "null_space": _by_null_space,
}


@dataclass(frozen=True)
class Preserved:
    """What an update leaves as it is."""

    way: str  # Algorithm.preserves
    factor: Tensor  # what that reads of the layer's second moment
    weight: float = 0.0  # lambda: of what is preserved, against what is written
    keys: Tensor | None = None  # whose values stay as they are: solved for with a residual of zero, [n, key]
    called: str | None = None  # lambda, among the hyperparameters


def layer_update(keys: Tensor, residual: Tensor, preserved: Preserved) -> Tensor:
    """R (lambda I + K^T S)^-1 S^T in double precision, [d, key]; S is C^-1 K or P K.

    `keys` [m, key], `residual` [m, d]. A system of m + n unknowns, and C is factorised once for all k. Raises
    InputError where it has no solution.
    """
    count = len(keys)
    if preserved.keys is not None:
        keys = torch.cat([preserved.keys.to(keys), keys])
    solved = PRESERVES[preserved.way](keys, preserved.factor)  # S, [key, n + m]
    system = keys @ solved  # [n + m, n + m]
    system.diagonal().add_(preserved.weight)
    lower, failed = torch.linalg.cholesky_ex(system)
    if failed:
        raise InputError(
            f"SPREAD's system of {len(system)} keys is not positive definite; expected a larger"
            f" {preserved.called or 'weight'} or cases with different subjects"
        )
    return residual.double().T @ torch.cholesky_solve(solved.T, lower)[-count:]


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


def mean_key(own: Tensor) -> Tensor:
    """Half the bare prompt's key plus half the mean of the prefixed keys; `own` [1 + n, key]."""
    return (own[0] + own[1:].mean(0)) / 2 if len(own) > 1 else own[0]
