"""What editing assumes of a model, tried on one pass over a few tokens when it is loaded."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from reedit.errors import InputError
from reedit.models.hooks import captured
from reedit.models.numbers import added, wide

if TYPE_CHECKING:
    from reedit.models.language_model import LanguageModel


@torch.no_grad()
def check_forward(model: "LanguageModel", name: str) -> None:
    """Raise InputError, about the model `name`, for one that is not what is assumed of it.

    Additive masks (edit/optimization/buckets.py) are read neither by flash nor by flex attention. A pass
    over a few tokens tells the rest, whatever the configuration calls it: `logits`, `after_attention` and
    `upper` are the model's own pass in pieces, and what an MLP says is added to the residual stream as it
    is.
    """
    attention = model.model.config._attn_implementation
    if attention not in ("eager", "sdpa"):
        raise InputError(f"{name}: attention by {attention!r}, expected eager or sdpa")
    kind = model.model.config.model_type
    try:
        other = next((told for told, *pair in _in_pieces(model) if not _alike(*pair)), None)
    except ValueError as error:
        other = f"hides positions from its layers by {error}"
    if other:
        raise InputError(f"{name}: a {kind} model that {other}: no way to edit it is known here")


def _in_pieces(model: "LanguageModel") -> Iterator[tuple[str, Tensor, Tensor]]:
    """What to say where a piece of a pass, which comes second, is not what it should be."""
    ids = torch.arange(10, device=model.device)[None] % model.model.config.vocab_size
    ends = sorted({0, len(model.layers) - 1})
    inputs = {f"entering {i}": model.layers[i] for i in ends}
    outputs = {f"attention {i}": model.attention(i) for i in ends}
    outputs |= {f"hidden {i}": model.layers[i] for i in ends} | {"final": model.backbone}
    with captured(inputs, outputs) as seen:
        own = model.model(input_ids=ids, use_cache=False).logits
    yield "scales its logits in a way not known", model.logits(seen["final"]), wide(own)
    for layer in ends:
        entering, attention, hidden = (seen[f"{x} {layer}"] for x in ("entering", "attention", "hidden"))
        again = model.after_attention(layer, entering, attention)
        yield "does not add to the residual stream what its attention says", again, hidden
        more = hidden / model.mlp_scale
        with model.mlp(layer).register_forward_hook(lambda _, args, out, more=more: out + more):
            doubled = model.after_attention(layer, entering, attention)
        yield "does not add to the residual stream what its MLP says", doubled, 2 * hidden
    # then all above the first layer at new positions, behind kept ones of which some are another row's
    hidden, (kept, cut), above = seen["hidden 0"], (8, 5), range(1, len(model.layers))
    if not (above and model.can_cut(0)):
        kept = cut = 0
    before, new = torch.arange(kept, device=model.device), torch.arange(cut, 10, device=model.device)
    read, own = torch.cat([before, new]), torch.cat([before < cut, new >= cut])
    final = model.upper(0)(
        hidden[:, cut:],
        {
            i: added((visible[new][:, read] & own)[None, None], hidden.dtype)
            for i, visible in model.visible(10).items()
            if i > 0
        },
        position_ids=new[None],
        past_key_values=model.frozen(above, hidden[:, :kept])[1] if kept else None,
        use_cache=False,
    )
    told = "does not read earlier positions by their keys and values alone"
    yield told, final, seen["final"][:, cut:]


def _alike(found: Tensor, expected: Tensor) -> bool:
    """Whether both are the same but for rounding; numbers that are not finite tell nothing."""
    slack = 0.1 if torch.finfo(expected.dtype).bits == 16 else 0.01
    distance, size = wide(found - expected).norm(), wide(expected).norm()
    return not (distance > slack * size)
