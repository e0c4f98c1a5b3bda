"""What an iteration leaves for the next one beside the weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Carried:
    """Targets that SPREAD alone goes on writing, and keys that later SPREADs leave alone; often neither.

    All of it on the CPU, whatever device the job runs on: what a job has found and what its state has given
    back are alike.
    """

    targets: Tensor | None = None  # z of k = 1, [m, d]
    keys: Mapping[int, Mapping[int, Tensor]] = field(default_factory=dict)  # batch -> layer -> [cases, key]

    def protected(self, batch: int, own: bool) -> dict[int, Tensor] | None:
        """By layer, the keys of all batches but this one, and with `own` of this one too; None for none."""
        by_layer: dict[int, list[Tensor]] = {}
        for other, layers in self.keys.items():
            if own or other != batch:
                for layer, keys in layers.items():
                    by_layer.setdefault(layer, []).append(keys)
        return {layer: torch.cat(keys) for layer, keys in by_layer.items()} or None

    def with_targets(self, targets: Tensor) -> "Carried":
        """The same with what SPREAD alone is to go on writing, [m, d]."""
        return replace(self, targets=targets.cpu())

    def with_keys(self, batch: int, keys: Mapping[int, Tensor]) -> "Carried":
        """The same with the `keys` [cases, key] by layer that a batch was solved for, in fp32.

        They take the place of what it was solved for before; a batch whose cases were all dropped was solved
        for nothing, and leaves things as they are.
        """
        if not keys:
            return self
        kept = {layer: tensor.float().cpu() for layer, tensor in keys.items()}
        return replace(self, keys={**self.keys, batch: {**self.keys.get(batch, {}), **kept}})

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
