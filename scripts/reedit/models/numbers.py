"""Number formats: results in fp32 where weights are smaller, and masks as numbers."""

import torch
from torch import Tensor


def wide(tensor: Tensor) -> Tensor:
    """In fp32 where it is smaller."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def added(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """What hides positions where it is added to attention's logits, of the same shape."""
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)
