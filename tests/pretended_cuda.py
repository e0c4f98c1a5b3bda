"""A CUDA device that is none: what runs on a GPU walks the same way here, and stumbles where it would there.

Values are computed on the CPU. Which tensors stand on the device is known by their storages: such tensors say
"cuda:0", `torch.cuda` says that there is one, and an op that mixes devices as CUDA's kernels will not have it
raises what CUDA raises. Taking more than the device has raises torch.OutOfMemoryError.

Not seen: the numerics, speed and memory of CUDA's own kernels, what they lack for a dtype, TF32, NCCL,
streams, generators on the device, and what looks at a tensor's device in C++.

    with pretended_cuda(): ...                     in a test
    PYTHONPATH=tests pytest -p pretended_cuda      for a whole session
    environment |= for_jobs(folder)                in every job of the workflow, each through reedit.jobs.job
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
NAME = "Pretended GPU"
TOTAL = 80 * 2**30  # bytes


class Memory:
    """What stands on the device, and how much of its `total` bytes that takes."""

    def __init__(self, total: int = TOTAL) -> None:
        self.total, self.peak = total, 0
        self.kernels = 0  # ops that ran on the device so far
        self._taken = 0  # an upper bound: what was freed is noticed when it matters
        # by address, which nothing else is given as long as the weak reference is kept
        self._storages: dict[int, tuple[StorageWeakRef, int]] = {}

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor stands on the device."""
        try:
            return tensor.untyped_storage()._cdata in self._storages
        except (RuntimeError, NotImplementedError):  # without a storage, as sparse ones are
            return False

    def put(self, tensor: Tensor) -> Tensor:
        """The tensor, from now on on the device; torch.OutOfMemoryError where it does not fit."""
        storage = tensor.untyped_storage()
        if storage._cdata in self._storages:
            return tensor
        size = storage.nbytes()
        if self._taken + size > min(self.peak, self.total):
            if self.taken() + size > self.total:
                raise torch.OutOfMemoryError(
                    f"CUDA out of memory. Tried to allocate {size} bytes. GPU 0 has a total capacity of"
                    f" {self.total} bytes of which {self.total - self._taken} are free. (pretended)"
                )
            self.peak = max(self.peak, self._taken + size)
        self._storages[storage._cdata] = StorageWeakRef(storage), size
        self._taken += size
        return tensor

    def taken(self) -> int:
        """How many bytes are taken now."""
        alive = ((key, held) for key, held in self._storages.items() if not held[0].expired())
        self._storages = dict(alive)
        self._taken = sum(size for _, size in self._storages.values())
        return self._taken

    def copy(self, tensor: Tensor, on: bool) -> Tensor:
        """A copy that stands on the device, or does not; without a way back for gradients."""
        with _disable_current_modes():
            copied = tensor.detach().clone()
        return self.put(copied) if on else copied

    def moved(self, tensor: Tensor, on: bool) -> Tensor:
        """The tensor itself where it stands there already, else a differentiable copy."""
        return tensor if self.holds(tensor) == on else _Moved.apply(tensor, self, on)


class _Moved(torch.autograd.Function):
    """From the host to the device, or back: gradients go the other way."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, memory: Memory, on: bool) -> Tensor:
        ctx.memory, ctx.back = memory, not on
        return memory.copy(tensor, on)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.memory.copy(gradient, ctx.back), None, None


FOREIGN_GENERATOR = "Expected a 'cuda' device type for generator but found 'cpu'"
ACROSS = {"aten::copy_", "aten::set_", "aten::is_set_to", "aten::lift_fresh"}  # take tensors of two devices
INDEXED = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
INDEXED |= {"aten::_unsafe_index", "aten::_unsafe_index_put"}


def _flat(values: Iterable[Any]) -> list[Any]:
    """The arguments of an op, or what it gives, without the lists that tensors may stand in."""
    flat = []
    for value in values:
        flat += _flat(value) if isinstance(value, list | tuple) else (value,)
    return flat


class _Kernels(TorchDispatchMode):
    """Below autograd: an op on the device takes what CUDA's takes, and what it gives stands there too."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.memory = memory

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = _flat((*args, *kwargs.values()))
        tensors = [value for value in given if isinstance(value, Tensor)]
        on = [self.memory.holds(tensor) for tensor in tensors]
        if not any(on):
            return func(*args, **kwargs)
        self.memory.kernels += 1
        name = func._schema.name
        if name in ACROSS:
            return func(*args, **kwargs)
        if not all(on) and (stray := self._stray(func, args, kwargs)):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and"
                f" cpu! (pretended: {name}, on the CPU {[tuple(tensor.shape) for tensor in stray]})"
            )
        if any(isinstance(value, torch.Generator) for value in given):
            raise RuntimeError(f"{FOREIGN_GENERATOR} (pretended: {name})")
        out = func(*args, **kwargs)
        for value in _flat((out,)):
            if isinstance(value, Tensor):
                self.memory.put(value)
        return out

    def _stray(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
        """The op's tensors on the CPU that CUDA would not take there.

        It takes numbers, which are tensors without dimensions, where they are only read, and the indices of
        what stands on the device.
        """
        schema, stray = func._schema, []
        for place, argument in enumerate(schema.arguments):
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            if schema.name in INDEXED and argument.name == "indices" and self.memory.holds(args[0]):
                continue
            written = argument.alias_info is not None and argument.alias_info.is_write
            stray += [
                one
                for one in _flat((value,))
                if isinstance(one, Tensor) and not self.memory.holds(one) and (one.dim() or written)
            ]
        return stray


def _device(value: Any) -> torch.device | None:
    """The device that an argument names, None where it names none."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return torch.device("cuda", value) if isinstance(value, int) else torch.device(value)
    return value if isinstance(value, torch.device) else None


class _Names(TorchFunctionMode):
    """Above autograd: what tensors say of their device, and devices that code names."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.memory = memory
        self.answers: Mapping[Any, Callable[..., Any]] = {
            Tensor.device.__get__: self._where,
            Tensor.is_cuda.__get__: memory.holds,
            Tensor.is_cpu.__get__: lambda tensor: self._where(tensor).type == "cpu",
            Tensor.get_device: lambda tensor: self._where(tensor).index or 0,
            Tensor.to: self._to,
            Tensor.cuda: lambda tensor, *_, **__: memory.moved(tensor, True),
            Tensor.cpu: lambda tensor, *_, **__: memory.moved(tensor, False),
            Tensor.type_as: self._to,
            Tensor.numpy: lambda *args, **kwargs: self._on_host(Tensor.numpy, *args, **kwargs),
            Tensor.__array__: lambda *args, **kwargs: self._on_host(Tensor.__array__, *args, **kwargs),
            Tensor.new_tensor: lambda *args, **kwargs: self._beside(Tensor.new_tensor, *args, **kwargs),
            Tensor.__deepcopy__: lambda *args, **kwargs: self._beside(Tensor.__deepcopy__, *args, **kwargs),
        }

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        kwargs.pop("pin_memory", None)  # safetensors, on the way to a device
        if func in self.answers:
            return self.answers[func](*args, **kwargs)
        wanted = _device(kwargs.get("device"))
        if wanted is None or wanted.type not in ("cuda", "cpu"):
            return func(*args, **kwargs)
        return self._made(func, args, kwargs, wanted.type == "cuda")

    def _made(self, func: Any, args: tuple, kwargs: dict[str, Any], on: bool) -> Any:
        """What a function gives that is told a device."""
        if on and kwargs.get("generator") is not None:
            raise RuntimeError(f"{FOREIGN_GENERATOR} (pretended)")
        out = func(*args, **kwargs | {"device": CPU})
        if not isinstance(out, Tensor):
            return out
        if any(isinstance(value, Tensor) for value in args):  # as_tensor, zeros_like, new_zeros
            return self.memory.moved(out, on)
        return self.memory.put(out) if on else out

    def _where(self, tensor: Tensor) -> torch.device:
        return CUDA if self.memory.holds(tensor) else Tensor.device.__get__(tensor)

    def _to(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        copy = kwargs.pop("copy", False)
        other = kwargs.pop("other", args[0] if args and isinstance(args[0], Tensor) else None)
        if other is not None:
            device, dtype, memory_format = self._where(other), other.dtype, None
        else:
            named = [_device(value) or value for value in args]  # 0 is the first device
            device, dtype, _, memory_format = torch._C._nn._parse_to(*named, **kwargs)
        changes = {"dtype": dtype, "memory_format": memory_format}
        changes = {name: value for name, value in changes.items() if value is not None}
        if device is not None and device.type not in ("cuda", "cpu"):
            return Tensor.to(tensor, device, **changes)
        if changes or copy:
            tensor = Tensor.to(tensor, copy=copy, **({"dtype": tensor.dtype} | changes))
        return tensor if device is None else self.memory.moved(tensor, device.type == "cuda")

    def _on_host(self, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        """What only reads the host's memory."""
        if self.memory.holds(tensor):
            raise TypeError(
                "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to"
                " host memory first. (pretended)"
            )
        return func(tensor, *args, **kwargs)

    def _beside(self, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """What is made without an op, where the tensor stands that it is made of."""
        wanted = _device(kwargs.pop("device", None)) or self._where(tensor)
        return self.memory.moved(func(tensor, *args, **kwargs), wanted.type == "cuda")


def _module(memory: Memory) -> dict[str, Any]:
    """What takes the place of functions of `torch.cuda`."""

    def forget_peak(device: Any = None) -> None:
        memory.peak = memory.taken()

    properties = SimpleNamespace(
        name=NAME, total_memory=memory.total, major=9, minor=0, multi_processor_count=1
    )
    values = {
        "is_available": True,
        "is_initialized": True,
        "is_bf16_supported": True,
        "device_count": 1,
        "current_device": 0,
        "get_device_name": NAME,
        "get_device_capability": (9, 0),
        "get_device_properties": properties,
    }
    done = ("set_device", "empty_cache", "synchronize", "manual_seed", "manual_seed_all")
    return {
        **{name: lambda *_, value=value, **__: value for name, value in values.items()},
        **{name: lambda *_, **__: None for name in done},
        "mem_get_info": lambda device=None: (memory.total - memory.taken(), memory.total),
        "memory_allocated": lambda device=None: memory.taken(),
        "memory_reserved": lambda device=None: memory.taken(),
        "max_memory_allocated": lambda device=None: memory.peak,
        "max_memory_reserved": lambda device=None: memory.peak,
        "reset_peak_memory_stats": forget_peak,
    }


@contextmanager
def pretended_cuda(total: int = TOTAL) -> Iterator[Memory]:
    """A machine with one CUDA device of `total` bytes, until the end of the block."""
    memory = Memory(total)
    with mock.patch.multiple(torch.cuda, **_module(memory)), _Names(memory), _Kernels(memory):
        yield memory


_JOBS = '''"""Every job of the workflow on the pretended device (tests/pretended_cuda.py)."""

import os
from contextlib import contextmanager
from pathlib import Path

from reedit.jobs import job as jobs

plain = jobs.job


@contextmanager
def on_the_device(log, *args, **kwargs):
    from pretended_cuda import pretended_cuda  # here, as it imports torch: not every process is a job

    with plain(log, *args, **kwargs) as logger, pretended_cuda() as memory:
        yield logger
        with open(Path(__file__).with_name("kernels.txt"), "a") as file:
            file.write(f"{log} {memory.kernels}\\n")


jobs.job = on_the_device
'''


def for_jobs(folder: Path, scripts: Path) -> dict[str, str]:
    """The environment in which the jobs of a workflow whose library is in `scripts` believe in the device.

    `folder` is made for it; see `kernels_of`.
    """
    folder.mkdir(parents=True)
    shutil.copy2(__file__, folder)
    (folder / "sitecustomize.py").write_text(_JOBS)
    return {"PYTHONPATH": f"{folder}:{scripts}"}


def kernels_of(folder: Path) -> dict[str, int]:
    """By log of the jobs that ran to their end, how many ops each ran on the device."""
    lines = (folder / "kernels.txt").read_text().splitlines()
    return {log: int(count) for log, _, count in (line.rpartition(" ") for line in lines)}


_SESSION = ExitStack()  # of pytest -p pretended_cuda alone


def pytest_configure(config: pytest.Config) -> None:
    _SESSION.enter_context(pretended_cuda())


def pytest_unconfigure(config: pytest.Config) -> None:
    _SESSION.close()
