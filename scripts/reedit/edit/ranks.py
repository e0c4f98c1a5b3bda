"""The processes that share one edit job: each has a copy of the model and optimises its share of the edits.

They come from sharing.py, which starts them as torchrun does; else there is one, alone.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor

from reedit.jobs.device import job_device

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among those of its job."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes what the job gives."""
        return self.rank == 0

    def share(self, pieces: Sequence[T]) -> Sequence[T]:
        """This process's part of some pieces of work."""
        return pieces[self.rank :: self.count]

    def gathered(self, found: list[T]) -> list[T]:
        """What all processes found, on all of them. Tensors have to be on the CPU."""
        if self.count == 1:
            return found
        lists: list[list[T]] = [[]] * self.count
        torch.distributed.all_gather_object(lists, found)
        return [one for part in lists for one in part]

    def agreed(self, value: T) -> T:
        """The leading process's value on all of them, so that rounding cannot part their ways."""
        if self.count == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]

    def align(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors with the leading process's, in place."""
        for tensor in tensors if self.count > 1 else ():
            torch.distributed.broadcast(tensor, src=0)

    def in_turn(self, make: Callable[[], T]) -> T:
        """What `make` gives, made by the leading process first."""
        if self.count == 1:
            return make()
        if not self.leads:
            torch.distributed.barrier()
            return make()
        made = make()
        torch.distributed.barrier()
        return made

    def leave(self) -> None:
        """Part from the other processes once all of them are here."""
        if self.count > 1:
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()


ALONE = Ranks()


def join() -> Ranks:
    """Join the processes that torchrun started together with this one; alone without torchrun.

    With CUDA, every process takes the GPU of its local rank.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or not torch.distributed.is_torchelastic_launched():
        return ALONE
    backend = "gloo"
    if job_device(count) == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    # a rank may wait for hours for the last batch of another
    torch.distributed.init_process_group(backend, timeout=timedelta(days=7))
    return Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size())
