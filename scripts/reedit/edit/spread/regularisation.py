"""Updates made gentler: of each, what is written is W + a regularised update.

After the fact that is the whole update of an iteration, W_k - W_0, and W is W_0; as a batch is written, its
own update, and W as it stands then.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


def prune(update: Tensor, weight: Tensor, log_base: float = math.e) -> Tensor:
    """The update [d, key] with singular values above the largest s of W, [d, key], brought near to it.

    PRUNE (Ma et al. 2025, Perturbation-restrained sequential model editing, section 4): such a value v
    becomes s + log(v) - log(s), the logarithms to `log_base` (e, or 1.2 as the authors try too).
    """
    left, values, right = torch.linalg.svd(update.double(), full_matrices=False)
    largest = torch.linalg.matrix_norm(weight.double(), 2)
    gentle = largest + (values.log() - largest.log()) / math.log(log_base)
    return (left * torch.where(values > largest, gentle, values)) @ right


def rect(update: Tensor, weight: Tensor, keep: float = 0.4) -> Tensor:
    """The `keep` share of the update's entries that change their weights the most by relation, the rest zero.

    RECT (Gu et al. 2024, Model editing harms general abilities, section 5): |update / W| orders them.
    """
    update, relative = update.double(), (update.double() / weight.double()).abs().flatten()
    count = min(len(relative), math.ceil(keep * len(relative)))
    relative[update.flatten() == 0] = 0.0  # 0 / 0: nothing changes
    kept = torch.zeros_like(relative, dtype=torch.bool)
    kept[relative.topk(count).indices] = True
    return torch.where(kept.view_as(update), update, 0.0)


def sphere(update: Tensor, weight: Tensor, share: float = 0.5, strength: float = 0.5) -> Tensor:
    """The update with so much less (`strength`) along the directions that the rows of W share most.

    SPHERE (2025, arXiv 2510.01172): the rows are taken at length one, so that only their directions count; of
    the directions that spread them, the widest ones that make up this `share` of it.
    """
    rows = torch.nn.functional.normalize(weight.double(), dim=1)  # [d, key]
    values, vectors = torch.linalg.eigh(rows.T @ rows)  # ascending
    parts = values.flip(0).cumsum(0) / values.sum()
    few = vectors[:, -(int((parts <= share).sum()) + 1) :]  # [key, r]
    return update.double() - strength * (update.double() @ few) @ few.T


def gentler(update: Tensor, weight: Tensor, regularisers: Sequence[Mapping[str, Any]]) -> Tensor:
    """An update [d, key] of W, [d, key], regularised in one way after the other (name, options)."""
    for one in regularisers:
        options = {name: value for name, value in one.items() if name != "name"}
        update = REGULARISATIONS[one["name"]](update, weight, **options).to(update.dtype)
    return update


REGULARISATIONS: Mapping[str, Callable[..., Tensor]] = {"prune": prune, "rect": rect, "sphere": sphere}
