"""What an MLP's output map has to say where a norm or a factor stands between it and the residual stream.

Gemma 2 and 3, OLMo 2 and 3 and some more add norm(W k) to the stream, Granite a part of W k, others W k
itself. Targets and residuals are those of the stream in all of them; SPREAD and ROME write W: a residual is
taken back through what stands between.
"""

import torch
from torch import Tensor, nn

from reedit.models.language_model import LanguageModel
from reedit.models.numbers import wide

FLOOR = 0.1  # of the median gain: directions that the norm hardly lets through are hardly written


def before_norm(model: LanguageModel, layer: int, keys: Tensor, change: Tensor) -> Tensor:
    """How W k has to change for what the MLP adds to the stream to change by `change` [m, d].

    `keys` [m, key] are those of the bare prompts. The same as `change` where no norm stands between, else to
    first order: the norm is g * v / rms(v), whose derivative lets nothing through along v itself. What is
    missing then is in the next layer's residual, and in the next iteration's.
    """
    norm = model.mlp_norm(layer)
    change = change if model.mlp_scale == 1 else change / model.mlp_scale
    if norm is None:
        return change
    value = (model.mlp_output(layer)(keys.to(model.model.dtype))).to(change)  # v = W k, [m, d]
    return _through(norm, value, change)


def _through(norm: nn.Module, value: Tensor, change: Tensor) -> Tensor:
    """The least change of `value` that changes norm(value) by `change`, each [m, d]."""
    ones = torch.ones(value.shape[1], device=value.device, dtype=norm.weight.dtype)
    gain = wide(norm(ones)).to(value)  # g, [d]
    floor = FLOOR * gain.abs().median()
    scale = value.pow(2).mean(1, keepdim=True).sqrt()  # rms(v), [m, 1]
    found = scale * change * gain / (gain**2 + floor**2)
    along = nn.functional.normalize(value, dim=1)
    return found - along * (along * found).sum(1, keepdim=True)
