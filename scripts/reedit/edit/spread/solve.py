"""From keys and residuals to an update, which leaves other keys as they are.

These keys are weighed by their second moment C, or all of them outside C's null space stay. Either way keys K
have coordinates Z, of which SPREAD solves R (lambda I + Z^T Z)^-1 Z^T: L^-1 K with C = L L^T, or those in an
orthonormal basis of the null space. With the first this is Woodbury's form of R K^T (lambda C + K K^T)^-1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

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


@dataclass(frozen=True)
class Coordinates:
    """Keys as columns [key, m] in r coordinates, [r, m], and back, by what the job has read of C."""

    of: Callable[[Tensor, Tensor], Tensor]
    back: Callable[[Tensor, Tensor], Tensor]  # of a basis' coordinates, or L^-T of them


# by Algorithm.preserves
COORDINATES: Mapping[str, Coordinates] = {
    "moments": Coordinates(
        lambda columns, lower: torch.linalg.solve_triangular(lower, columns, upper=False),
        lambda found, lower: torch.linalg.solve_triangular(lower.T, found, upper=True),
    ),
    "null_space": Coordinates(
        lambda columns, basis: basis.T @ columns,
        lambda found, basis: basis @ found,
    ),
}


@dataclass(frozen=True)
class Preserved:
    """What an update leaves as it is."""

    way: str  # Algorithm.preserves
    factor: Tensor  # what that reads of the layer's second moment
    weight: float = 0.0  # lambda: of what is preserved, against what is written
    keys: Tensor | None = None  # whose values stay as they are: solved for with a residual of zero, [n, key]
    called: str | None = None  # lambda, among the hyperparameters
    products: Tensor | None = None  # of more such keys the sum of k k^T, [key, key]


def layer_update(keys: Tensor, residual: Tensor, preserved: Preserved) -> Tensor:
    """R K^T (lambda C + K_p K_p^T + K K^T)^-1 in double precision, [d, key], or its form in C's null space.

    `keys` [m, key], `residual` [m, d]; K_p are the keys that stay. C is factorised once for all k: where K_p
    are few, a system of m + n unknowns is solved, where they are many, one of the coordinates. Raises
    InputError where it has no solution.
    """
    way, factor, stay = COORDINATES[preserved.way], preserved.factor, preserved.keys
    own = way.of(keys.T, factor)  # Z, [r, m]
    earlier = None if stay is None else way.of(stay.to(keys).T, factor)  # Z_p, [r, n]
    many = preserved.products is not None or (earlier is not None and earlier.shape[1] > len(own))
    if many and not preserved.weight:
        raise unsolvable(len(own), preserved)  # more than there are directions cannot all stay exactly
    solve = _of_coordinates if many else _of_keys
    return residual.double().T @ way.back(solve(own, earlier, preserved), factor).T


def update_of_few(keys: Tensor, residual: Tensor, preserved: Preserved, share: float) -> Tensor:
    """layer_update, [d, key], of the neurons alone that hold a `share` of sum |k| over all keys (NSE).

    The most active ones, as many as together hold no more than that; at least one. For second moments.
    """
    active = keys.abs().sum(0).double()  # [key]
    order = active.argsort(descending=True)
    count = int((active[order].cumsum(0) <= share * active.sum()).sum())
    few = order[: max(1, count)]
    rows = preserved.factor[few]  # C = L L^T
    part = replace(
        preserved,
        factor=torch.linalg.cholesky(rows @ rows.T),
        keys=None if preserved.keys is None else preserved.keys.to(keys.device)[:, few],
        products=None if preserved.products is None else preserved.products.to(keys.device)[few][:, few],
    )
    update = torch.zeros(residual.shape[1], keys.shape[1], dtype=torch.float64, device=keys.device)
    update[:, few] = layer_update(keys[:, few], residual, part)
    return update


def _of_keys(own: Tensor, earlier: Tensor | None, preserved: Preserved) -> Tensor:
    """Z (lambda I + Z^T Z)^-1 of all keys [r, n + m], those of its own columns [r, m]."""
    every = own if earlier is None else torch.cat([earlier, own], 1)
    system = every.T @ every  # [n + m, n + m]
    system.diagonal().add_(preserved.weight)
    return torch.cholesky_solve(every.T, _lower(system, preserved))[-own.shape[1] :].T


def _of_coordinates(own: Tensor, earlier: Tensor | None, preserved: Preserved) -> Tensor:
    """A^-1 Z (I + Z^T A^-1 Z)^-1 [r, m], with A = lambda I + Z_p Z_p^T of however many keys."""
    way, factor = COORDINATES[preserved.way], preserved.factor
    system = torch.zeros(len(own), len(own), dtype=own.dtype, device=own.device)
    if preserved.products is not None:
        half = way.of(preserved.products.to(own), factor)  # [r, key]
        system += way.of(half.T, factor)
    if earlier is not None:
        system += earlier @ earlier.T
    system.diagonal().add_(preserved.weight)
    solved = torch.cholesky_solve(own, _lower(system, preserved))  # A^-1 Z, [r, m]
    small = own.T @ solved  # [m, m]
    small.diagonal().add_(1.0)
    return torch.linalg.solve(small, solved.T).T


def _lower(system: Tensor, preserved: Preserved) -> Tensor:
    """Its lower Cholesky factor."""
    lower, failed = torch.linalg.cholesky_ex(system)
    if failed:
        raise unsolvable(len(system), preserved)
    return lower


def unsolvable(keys: int, preserved: Preserved) -> InputError:
    """What is said of a system of so many keys that has no solution."""
    return InputError(
        f"SPREAD's system of {keys} keys is not positive definite; expected a larger"
        f" {preserved.called or 'weight'} or cases with different subjects"
    )


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
