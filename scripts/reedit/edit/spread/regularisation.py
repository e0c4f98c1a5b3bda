"""Updates made gentler after the fact: of each, what is written is W_0 + a regularised update.

What is regularised is the whole update of an iteration, W_k - W_0, never one that was regularised before.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def prune(update: Tensor, unedited: Tensor, log_base: float = math.e) -> Tensor:
    """The update [d, key] with singular values above the largest s of W_0, [d, key], brought near to it.

    PRUNE (Ma et al. 2025, Perturbation-restrained sequential model editing, section 4): such a value v
    becomes s + log(v) - log(s), the logarithms to `log_base` (e, or 1.2 as the authors try too).
    """
    left, values, right = torch.linalg.svd(update.double(), full_matrices=False)
    largest = torch.linalg.matrix_norm(unedited.double(), 2)
    gentle = largest + (values.log() - largest.log()) / math.log(log_base)
    return (left * torch.where(values > largest, gentle, values)) @ right


def rect(update: Tensor, unedited: Tensor, keep: float = 0.4) -> Tensor:
    """The `keep` share of the update's entries that change their weights the most by relation, the rest zero.

    RECT (Gu et al. 2024, Model editing harms general abilities, section 5): |update / W_0| orders them.
    """
    update, relative = update.double(), (update.double() / unedited.double()).abs().flatten()
    count = min(len(relative), math.ceil(keep * len(relative)))
    relative[update.flatten() == 0] = 0.0  # 0 / 0: nothing changes
    kept = torch.zeros_like(relative, dtype=torch.bool)
    kept[relative.topk(count).indices] = True
    return torch.where(kept.view_as(update), update, 0.0)


REGULARISATIONS: Mapping[str, Callable[..., Tensor]] = {"prune": prune, "rect": rect}
