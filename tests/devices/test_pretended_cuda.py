"""The pretended CUDA device itself: what it takes and what it refuses, as CUDA does."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from pretended_cuda import pretended_cuda
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
Op = Callable[[Tensor, Tensor], object]  # of a tensor on the device and one on the CPU, both [3, 3]
LEGAL: dict[str, Op] = {
    "a number": lambda there, here: there + here[0, 0],
    "a number into": lambda there, here: there.clone().masked_fill_(there > 0, here[0, 0]),
    "an index on the CPU": lambda there, here: there[torch.tensor([0, 2])],
    "a mask on the CPU": lambda there, here: there[here > 0],
    "an index on either": lambda there, here: there[torch.arange(3), torch.arange(3, device="cuda")],
    "a number put in": lambda there, here: there.index_put((torch.tensor([0]),), here[0, 0]),
    "copied into": lambda there, here: there.clone().copy_(here),
    "moved": lambda there, here: there + here.cuda(),
    "moved to another's place": lambda there, here: there + here.to(there) + here.type_as(there),
    "made beside": lambda there, here: there + there.new_ones(3, 3) + there.new_tensor([1.0, 2.0, 3.0]),
    "made like": lambda there, here: there + torch.zeros_like(here, device="cuda"),
    "as a tensor": lambda there, here: there + torch.as_tensor(here, device=CUDA),
    "a default device": lambda there, here: there + _default(),
    "cast": lambda there, here: there.double() + there.to(torch.float64) + there.to("cuda:0", torch.float16),
    "a module": lambda there, here: nn.Linear(3, 3).to("cuda")(there),
    "a copy": lambda there, here: deepcopy(there) + nn.Parameter(there),
}
REFUSED: dict[str, Op] = {
    "added": lambda there, here: there + here,
    "added the other way": lambda there, here: here + there[0, 0],
    "added in place": lambda there, here: here.add_(there),
    "added to a number": lambda there, here: torch.zeros(()).add_(there[0, 0]),
    "multiplied": lambda there, here: there @ here,
    "joined": lambda there, here: torch.cat([there, here]),
    "chosen": lambda there, here: torch.where(here > 0, there, there),
    "gathered": lambda there, here: there.gather(0, torch.zeros(1, 3, dtype=torch.long)),
    "an index there": lambda there, here: here[torch.tensor([0], device="cuda")],
    "values put in": lambda there, here: there.index_put((torch.tensor([0]),), here[0]),
    "compared": lambda there, here: torch.equal(there, here),
    "solved": lambda there, here: torch.linalg.solve(there, here),
    "looked up": lambda there, here: nn.functional.embedding(torch.tensor([0]), there),
    "a module": lambda there, here: nn.Linear(3, 3)(there),
    "drawn": lambda there, here: torch.multinomial(there.exp(), 1, generator=torch.Generator()),
    "drawn anew": lambda there, here: torch.randn(3, device="cuda", generator=torch.Generator()),
}


def _default() -> Tensor:
    with torch.device("cuda"):
        return torch.ones(3, 3)


@pytest.mark.parametrize("name", LEGAL)
def test_what_cuda_takes_stands_on_the_device(name: str) -> None:
    torch.manual_seed(0)
    with pretended_cuda():
        found = LEGAL[name](torch.randn(3, 3, device="cuda"), torch.randn(3, 3))
        assert found.device == CUDA and found.is_cuda and not found.is_cpu
        assert found.cpu().device == CPU and found.tolist() == found.cpu().tolist()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cuda_refuses_is_refused(name: str) -> None:
    torch.manual_seed(0)
    with pretended_cuda(), pytest.raises(RuntimeError, match=r"pretended"):
        REFUSED[name](torch.randn(3, 3, device="cuda"), torch.randn(3, 3))


def test_numpy_reads_the_host_alone() -> None:
    with pretended_cuda():
        there = torch.ones(2, device="cuda")
        assert there.cpu().numpy().tolist() == [1.0, 1.0]
        with pytest.raises(TypeError, match="can't convert cuda:0"):
            there.numpy()


def test_gradients_go_across_and_stand_where_their_leaves_do() -> None:
    with pretended_cuda():
        there, here = torch.ones(2, device="cuda", requires_grad=True), torch.ones(2, requires_grad=True)
        (there.cpu() * here.to("cuda").cpu()).sum().cuda().backward()
        assert there.grad.device == CUDA and here.grad.device == CPU
        assert there.grad.tolist() == here.grad.tolist() == [1.0, 1.0]


def test_a_file_is_written_and_read_on_the_device(tmp_path: Path) -> None:
    with pretended_cuda():
        there = torch.arange(6.0, device="cuda")
        save_file({"a": there}, tmp_path / "a.safetensors")
        assert load_file(tmp_path / "a.safetensors")["a"].device == CPU
        again = load_file(tmp_path / "a.safetensors", device="cuda:0")["a"]
        assert again.device == CUDA and torch.equal(again, there)


def test_memory_is_counted_and_ends() -> None:
    with pretended_cuda(total=1000):
        held = torch.zeros(100, device="cuda")
        view = held[10:]
        for _ in range(3):  # what is freed can be taken again
            del view
            view = held + 1
        assert torch.cuda.memory_allocated() == torch.cuda.max_memory_allocated() == 800
        assert torch.cuda.mem_get_info() == (200, 1000)
        with pytest.raises(torch.OutOfMemoryError, match=r"CUDA out of memory\. Tried to allocate 400 bytes"):
            held * 2
        del view
        torch.cuda.reset_peak_memory_stats()
        assert torch.cuda.max_memory_allocated() == 400
        assert (held * 2).sum() == 0


def test_outside_there_is_no_device() -> None:
    before = torch.cuda.is_available()
    with pretended_cuda():
        there = torch.ones(2, device="cuda")
        assert torch.cuda.is_available() and torch.cuda.device_count() == 1
    assert torch.cuda.is_available() is before and there.device == CPU
