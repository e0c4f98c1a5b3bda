"""What modules of a network are handed and say in a forward pass, and passes that end early."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class _StopForward(Exception):
    """Raised in a hook to end a forward pass whose rest is not needed."""


@contextmanager
def captured(
    inputs: Mapping[str, nn.Module], outputs: Mapping[str, nn.Module]
) -> Iterator[dict[str, Tensor]]:
    """Collect the first input or output tensor of modules by name; hooks are gone on every way out."""
    seen: dict[str, Tensor] = {}

    def keep_input(name: str):
        return lambda module, args: seen.__setitem__(name, args[0])

    def keep_output(name: str):
        return lambda module, args, out: seen.__setitem__(name, out if isinstance(out, Tensor) else out[0])

    handles = [m.register_forward_pre_hook(keep_input(n)) for n, m in inputs.items()]
    handles += [m.register_forward_hook(keep_output(n)) for n, m in outputs.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def stopped_before(module: nn.Module) -> Iterator[None]:
    """End any forward pass inside the block when `module` is reached; its other pre-hooks have run."""
    with _stopped(module.register_forward_pre_hook(_stop)):
        yield


@contextmanager
def stopped_after(module: nn.Module) -> Iterator[None]:
    """End any forward pass inside the block once `module` has run; its other hooks have run."""
    with _stopped(module.register_forward_hook(_stop)):
        yield


def _stop(*_: object) -> None:
    raise _StopForward


@contextmanager
def _stopped(handle: RemovableHandle) -> Iterator[None]:
    try:
        yield
    except _StopForward:
        pass
    finally:
        handle.remove()
