"""Code that asks for CUDA by name, on a machine without."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class OnCpu(TorchFunctionMode):
    """Within it "cuda:0" is the CPU, for whatever torch is asked to make or to move.

    with OnCpu():
        torch.zeros(3, device="cuda:0").cuda()  # on the CPU
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """A call of torch, its devices replaced."""
        if func is torch.Tensor.cuda:
            return args[0]
        named = {name: _on_cpu(value) for name, value in (kwargs or {}).items()}
        return func(*map(_on_cpu, args), **named)


def _on_cpu(value: Any) -> Any:
    """A device that is CUDA's, by its name or as such, as the CPU; anything else as it is."""
    named = value.startswith("cuda") if isinstance(value, str) else False
    return torch.device("cpu") if named or isinstance(value, torch.device) else value
