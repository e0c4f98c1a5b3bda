"""The memory that tensors take, by their storages: its peak, and a limit to it."""

from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Storages(TorchDispatchMode):
    """Bytes of the storages that operations inside have made and that are still there.

    More than `limit` bytes of them are refused as a device refuses them. What an operation takes for itself
    and gives back before it ends is not seen.
    """

    def __init__(self, limit: float = float("inf")) -> None:
        super().__init__()
        self.limit, self.peak = limit, 0
        self.known: dict[int, tuple[StorageWeakRef, int]] = {}

    def live(self) -> int:
        self.known = {place: one for place, one in self.known.items() if not one[0].expired()}
        return sum(size for _, size in self.known.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        given = {_place(one) for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)}
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor) and (place := _place(tensor)) not in given:
                storage = tensor.untyped_storage()
                self.known[place] = StorageWeakRef(storage), storage.nbytes()
        live = self.live()
        if live > self.limit:
            raise torch.OutOfMemoryError(f"CUDA out of memory. {live} of {self.limit} bytes taken.")
        self.peak = max(self.peak, live)
        return found


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata
