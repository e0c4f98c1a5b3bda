"""What the steps of a run know of those before them, beside the weights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass
class Memory:
    """Keys that later SPREADs leave alone, targets that SPREAD may go on writing; often neither.

    All of it on the CPU, whatever device the job runs on: what a job has found and what its journal has given
    back are alike.
    """

    keys: dict[int, dict[int, Tensor]] = field(default_factory=dict)  # batch -> layer -> [cases, key], fp32
    products: dict[int, Tensor] = field(default_factory=dict)  # layer -> sum of k k^T of more of them, fp32
    targets: Tensor | None = None  # z of every edit as it was found last, [m, d]
    ppl_target: Tensor | None = None  # p(theta, h-bar) of these then, [m]
    ppl_now: list[float] | None = None  # p(theta_k) of every edit, as it was measured when k began
    held: frozenset[int] = frozenset()  # the edits that k writes these targets of again
    running: dict[str, Tensor] = field(default_factory=dict)  # what an algorithm goes on counting, by name
    totals: dict[int, Tensor] = field(
        default_factory=dict
    )  # layer -> sum of k k^T of `keys`, fp64, of too many

    def protected(self, batch: int | None, layer: int, own: bool) -> Tensor | None:
        """A layer's keys [n, key] of all batches but this one, with `own` of this one too; None for none."""
        others = [layers for other, layers in self.keys.items() if own or other != batch]
        keys = [layers[layer] for layers in others if layer in layers]
        return torch.cat(keys) if keys else None

    def stays(self, batch: int, layer: int, own: bool) -> tuple[Tensor | None, Tensor | None]:
        """`protected`, or of too many of them the sum of k k^T [key, key] in their place; None for none.

        Too many are more than they have numbers. Their sum goes on from batch to batch (`remember`), so that
        what a batch costs does not grow with those before it.
        """
        if layer not in self.totals:
            return self.protected(batch, layer, own), self.products.get(layer)
        total, mine = self.totals[layer], self.keys.get(batch, {}).get(layer)
        return None, total if own or mine is None else total - squares(mine)

    def begin(self) -> None:
        """An iteration begins: its sums are those of the keys as they are, whether or not it was resumed."""
        self.totals = {}
        for layer in {layer for kept in self.keys.values() for layer in kept}:
            self._count(layer)

    def _count(self, layer: int) -> None:
        keys = self.protected(None, layer, own=True)
        if keys is not None and len(keys) > keys.shape[1]:
            self.totals[layer] = squares(keys)

    def product(self, layer: int, device: torch.device | str = "cpu") -> Tensor | None:
        """The sum of k k^T [key, key] over all keys of a layer, however they are kept; None of none."""
        keys, product = self.protected(None, layer, own=True), self.products.get(layer)
        product = None if product is None else product.to(device)
        if keys is None:
            return product
        keys = keys.to(device)
        return keys.T @ keys + (0 if product is None else product)

    def known(self, layer: int) -> int:
        """How many keys `product` is of."""
        keys = self.protected(None, layer, own=True)
        return int(self.running.get(f"folded.{layer}", 0)) + (0 if keys is None else len(keys))

    def fold(self) -> None:
        """Of more keys than they have numbers the sum of k k^T is kept in their place, which is smaller."""
        layers = {layer for kept in self.keys.values() for layer in kept}
        for layer in layers:
            keys = self.protected(None, layer, own=True)
            if layer in self.products or len(keys) > keys.shape[1]:
                self.running[f"folded.{layer}"] = torch.tensor(float(self.known(layer)))
                self.products[layer] = self.product(layer)
                self.totals.pop(layer, None)
                for kept in self.keys.values():
                    kept.pop(layer, None)

    def remember(self, batch: int, keys: Mapping[int, Tensor], adds: bool = False) -> None:
        """The keys [cases, key] of a batch by layer take the place of its earlier ones, or join them.

        A batch whose cases were all lost has none, and leaves things as they are.
        """
        before = self.keys.get(batch, {})
        kept = {layer: tensor.float().cpu() for layer, tensor in keys.items()}
        if adds:
            kept |= {n: torch.cat([before[n], tensor]) for n, tensor in kept.items() if n in before}
        if kept:
            self.keys[batch] = {**before, **kept}
        for layer, tensor in kept.items():
            if layer not in self.totals:
                self._count(layer)
            else:
                gone = squares(before[layer]) if layer in before else 0
                self.totals[layer] = self.totals[layer] + squares(tensor) - gone

    def keep_targets(self, targets: Tensor, ppl_target: Sequence[float]) -> None:
        """What SPREAD may go on writing, [m, d], and how likely that was; of held edits as before."""
        targets, likely = targets.cpu().clone(), torch.tensor(ppl_target, dtype=torch.float64)
        if held := list(self.held):
            targets[held], likely[held] = self.targets[held], self.ppl_target[held]
        self.targets, self.ppl_target = targets, likely

    def copy(self) -> "Memory":
        """One that may go on to remember other things."""
        return replace(
            self,
            keys={batch: dict(kept) for batch, kept in self.keys.items()},
            products=dict(self.products),
            running=dict(self.running),
            totals=dict(self.totals),
        )

    def tensors(self) -> dict[str, Tensor]:
        """By name, for a file of the journal; without what the iteration's rows tell."""
        named = {"targets": self.targets, "ppl_target": self.ppl_target} if self.targets is not None else {}
        return (
            named
            | {
                f"keys.{batch}.{layer}": keys
                for batch, layers in self.keys.items()
                for layer, keys in layers.items()
            }
            | {f"products.{layer}": total for layer, total in self.products.items()}
            | {f"running.{name}": tensor for name, tensor in self.running.items()}
        )


def squares(keys: Tensor) -> Tensor:
    """The sum of k k^T of keys [n, key], in fp64."""
    wide = keys.double()
    return wide.T @ wide


def memory_of(tensors: Mapping[str, Tensor]) -> Memory:
    """What `Memory.tensors` named."""
    keys: dict[int, dict[int, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("keys."):
            batch, layer = map(int, name.split(".")[1:])
            keys.setdefault(batch, {})[layer] = tensor
    products = {int(layer): tensor for layer, tensor in named(tensors, "products.")}
    running = dict(named(tensors, "running."))
    return Memory(keys, products, tensors.get("targets"), tensors.get("ppl_target"), running=running)


def named(tensors: Mapping[str, Tensor], prefix: str) -> list[tuple[str, Tensor]]:
    """Those whose names begin so, by the rest of their names."""
    return [(name.removeprefix(prefix), one) for name, one in tensors.items() if name.startswith(prefix)]
