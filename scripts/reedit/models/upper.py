"""The upper part of a model, run by itself, over whole rows or over what follows positions that are kept.

What a position sees of the others is nowhere worked out here from a configuration: the model's own pass tells
every layer, by whatever name the architecture has for windows and the like, and is asked for that.
"""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class FrozenCache:
    """Keys and values of earlier positions that every pass reads and none writes.

    Takes the place of transformers' cache in the attention modules: `update` returns what is kept
    followed by what is new, and stores nothing.
    """

    def __init__(self, keys: dict[int, Tensor], values: dict[int, Tensor]) -> None:
        self.keys = keys  # layer -> [rows, heads, positions, head size]
        self.values = values

    def update(self, key: Tensor, value: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        return torch.cat([self.keys[layer_idx], key], 2), torch.cat([self.values[layer_idx], value], 2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return next(iter(self.keys.values())).shape[2]

    def select(self, rows: Tensor | slice, positions: int | None = None) -> "FrozenCache":
        """Some rows, and of them all positions or the first ones."""
        return self._each(lambda kept: kept[rows, :, :positions])

    def ordered(self, places: Tensor) -> "FrozenCache":
        """Of each row the positions at its `places`, [rows, positions]."""
        every = torch.arange(len(places), device=places.device)[:, None]
        return self._each(lambda kept: kept.transpose(1, 2)[every, places].transpose(1, 2))

    def _each(self, take: Callable[[Tensor], Tensor]) -> "FrozenCache":
        kept = ({layer: take(one) for layer, one in part.items()} for part in (self.keys, self.values))
        return FrozenCache(*kept)


class Upper:
    """The backbone from the input of a layer on, sharing all weights; past the last one its final norm."""

    def __init__(self, backbone: nn.Module, layers: str, first: int) -> None:
        """`layers` is the backbone's list of layers, `first` the one that is entered."""
        every = backbone.get_submodule(layers)
        kept = min(first, len(every) - 1)  # past the last layer that one runs too, for nothing
        self.layers, self.past, self.first = every[kept:], first == len(every), kept
        self.backbone = copy.copy(backbone)
        self.backbone._modules = backbone._modules | {layers: self.layers}
        if getattr(backbone.config, "layer_types", None):  # they say by place how a layer attends
            self.backbone.config = copy.copy(backbone.config)
            self.backbone.config.layer_types = backbone.config.layer_types[kept:]

    def __call__(
        self, entering: Tensor | None, masks: Mapping[int, Tensor] | None = None, **given: Any
    ) -> Tensor:
        """The final hidden states [r, s, d] of rows that enter the first layer as `entering`, [r, s, d].

        None: they enter the model by `input_ids`, which are among what is given. `masks`: by layer, additive,
        [r, 1, s, positions seen]; without them the backbone makes its own of `attention_mask` [r, s], which
        is among what else its forward pass is `given`.
        """
        with ExitStack() as hooks:
            if entering is not None:  # embeddings and positions would be of an input that has them already
                hooks.enter_context(self._entered(entering))
                given["inputs_embeds"] = entering
            if masks:
                given["attention_mask"] = next(iter(masks.values()))  # of four dimensions: none is made
                for place, layer in enumerate(self.layers, start=self.first):
                    if place in masks:
                        hooks.enter_context(_told(layer, masks[place]))
            return self.backbone(**given)[0]

    def _entered(self, entering: Tensor) -> Any:
        """Within: whatever the backbone makes of its input, the first layer is given `entering`."""
        if not self.past:
            return self.layers[0].register_forward_pre_hook(lambda _, args: (entering, *args[1:]))
        return self.layers[0].register_forward_hook(
            lambda _, args, out: (entering, *out[1:]) if isinstance(out, tuple) else entering
        )


@torch.no_grad()
def told_masks(run: Callable[[], Any], layers: Mapping[int, nn.Module], length: int) -> dict[int, Tensor]:
    """By layer which position of a text [length] sees which: bool, [length, length].

    `run` is the model's own pass over such a text, of one row. Layers that are told alike share a tensor.
    Raises ValueError for a mask that does more than hide positions, or shows later ones.
    """
    seen: dict[int, Any] = {}

    def heard(layer: int) -> Callable[..., None]:
        return lambda module, args, kwargs: seen.__setitem__(layer, _told_to(module, args, kwargs))

    with ExitStack() as hooks:
        for layer, module in layers.items():
            hooks.enter_context(module.register_forward_pre_hook(heard(layer), with_kwargs=True))
        run()
    visible: dict[int, Tensor] = {}
    for layer, mask in seen.items():
        found = _visible(mask, length, next(layers[layer].parameters()).device)
        if found.triu(1).any():
            raise ValueError("a mask that shows later positions")
        same = (other for other in visible.values() if torch.equal(other, found))
        visible[layer] = next(same, found)
    return visible


def _visible(mask: Tensor | None, length: int, device: torch.device) -> Tensor:
    """What a mask [1, 1, length, length] shows; none is that all earlier positions are seen."""
    if mask is None:
        return torch.ones(length, length, dtype=torch.bool, device=device).tril()
    if mask.shape != (1, 1, length, length):
        raise ValueError(f"a mask of shape {tuple(mask.shape)}")
    if mask.dtype == torch.bool:
        return mask[0, 0]
    if not ((mask == 0) | (mask <= torch.finfo(mask.dtype).min / 2)).all():
        raise ValueError("a mask that weighs positions")
    return mask[0, 0] == 0


def _told_to(module: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> Any:
    """The attention mask among the arguments of a layer."""
    return kwargs["attention_mask"] if "attention_mask" in kwargs else args[_place(module)]


def _place(module: nn.Module) -> int:
    return list(inspect.signature(module.forward).parameters).index("attention_mask")


@contextmanager
def _told(module: nn.Module, mask: Tensor) -> Iterator[None]:
    """Within: whatever mask a layer would be given, it is given this one."""

    def tell(_: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> tuple[tuple, dict[str, Any]]:
        if "attention_mask" in kwargs:
            return args, {**kwargs, "attention_mask": mask}
        place = _place(module)
        return (*args[:place], mask, *args[place + 1 :]), dict(kwargs)

    with module.register_forward_pre_hook(tell, with_kwargs=True):
        yield
