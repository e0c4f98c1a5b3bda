"""What an iteration leaves for the next one beside the weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class Carried:
    """Targets that SPREAD alone goes on writing, and keys that later SPREADs leave alone; often neither."""

    targets: Tensor | None = None  # z of k = 1, [m, d]
    keys: Mapping[int, Mapping[int, Tensor]] = field(default_factory=dict)  # batch -> layer -> [cases, key]

    def protected(self, batch: int, own: bool) -> dict[int, Tensor] | None:
        """By layer, the keys of all batches but this one, and with `own` of this one too; None for none."""
        chosen = [layers for other, layers in self.keys.items() if own or other != batch]
        return {layer: torch.cat([keys[layer] for keys in chosen]) for layer in chosen[0]} if chosen else None

    def with_keys(self, batch: int, keys: Mapping[int, Tensor]) -> "Carried":
        """The same with what a batch was solved for now in place of what it was before, in fp32."""
        return Carried(self.targets, {**self.keys, batch: {n: tensor.float() for n, tensor in keys.items()}})

    def tensors(self) -> dict[str, Tensor]:
        """All of it by name, for a file of the job's state."""
        named = {} if self.targets is None else {"targets": self.targets}
        return named | {
            f"keys.{batch}.{layer}": keys
            for batch, layers in self.keys.items()
            for layer, keys in layers.items()
        }


def carried_of(tensors: Mapping[str, Tensor]) -> Carried:
    """What `Carried.tensors` named."""
    keys: dict[int, dict[int, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("keys."):
            batch, layer = map(int, name.split(".")[1:])
            keys.setdefault(batch, {})[layer] = tensor
    return Carried(tensors.get("targets"), keys)
